package docker

test_both if {
	not decision.allow with input as {"http": {"url": "http://h/a?b=c", "query": {"b": ["c"]}}, "env": {"args": {"WHO": "me"}}}
	count(decision.deny_msg) == 2 with input as {"http": {"url": "http://h/a?b=c", "query": {"b": ["c"]}}, "env": {"args": {"WHO": "me"}}}
}

test_fails_without_the_argument if {
	not decision.allow with input as {"http": {"url": "http://h/a"}}
}

test_good if {
	decision == {"allow": true, "deny_msg": set()} with input as {"http": {"url": "https://h/a"}}
}
