package docker

default allow := true

allow := false if count(deny_msg) > 0

deny_msg contains msg if {
	input.http
	not startswith(input.http.url, "https:")
	msg := sprintf("%s is fetched in the clear by %v", [input.http.url, input.env.args.WHO])
}

deny_msg contains "no query" if input.http.query

decision := {"allow": allow, "deny_msg": deny_msg}
