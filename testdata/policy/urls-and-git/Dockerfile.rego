package docker

default allow := false

allow if input.local.name in ["context", "dockerfile"]

allow if {
	input.http.schema == "https"
	endswith(input.http.host, ".example")
	not input.http.query.token
	regex.match(`^/releases/v\d+\.\d+/`, input.http.path)
}

allow if {
	input.git.remote == "https://git.example/a.git"
	semver.compare(trim_prefix(input.git.tagName, "v"), "1.2.0") >= 0
}

decision := {"allow": allow}
