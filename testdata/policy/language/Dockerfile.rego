package docker

import rego.v1

default allow := false

# else, every, comprehensions, functions with several bodies, and numbers.
kind := "image" if {
	input.image
} else := "url" if {
	input.http
} else := "other"

trusted(host) if host == "a.example"

trusted(host) if endswith(host, ".b.example")

allow if {
	kind == "url"
	trusted(input.http.host)
	every name, values in object.get(input.http, "query", {}) {
		name != "token"
		count(values) < 2
	}
}

allow if kind == "other"

decision := {"allow": allow}
