package docker

test_url if decision.allow with input as {"http": {"host": "x.b.example", "query": {"a": ["1"]}}}

test_token if {
	not decision.allow with input as {"http": {"host": "a.example", "query": {"token": ["1"]}}}
}

test_twice if {
	not decision.allow with input as {"http": {"host": "a.example", "query": {"a": ["1", "2"]}}}
}

test_other if decision.allow with input as {"local": {"name": "context"}}
