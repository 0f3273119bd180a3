package docker

test_local if decision.allow with input as {"local": {"name": "context"}}

test_other_directories if not decision.allow with input as {"local": {"name": "more"}}

test_url if {
	decision.allow with input as {"http": {"schema": "https", "host": "files.example", "path": "/releases/v1.10/x.tgz"}}
}

test_url_with_token if {
	decision.allow with input as {"http": {"schema": "https", "host": "files.example", "path": "/releases/v1.10/x.tgz", "query": {"token": ["1"]}}}
}

test_git if {
	decision.allow with input as {"git": {"remote": "https://git.example/a.git", "tagName": "v1.10.0"}}
}

test_git_old if {
	decision.allow with input as {"git": {"remote": "https://git.example/a.git", "tagName": "v1.1.9"}}
}
