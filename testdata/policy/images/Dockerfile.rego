package docker

default allow := false

allow if {
	input.image.host == "registry.example"
	input.image.isCanonical
}

allow if {
	input.image.repo in {"alpine", "debian"}
	input.image.labels.maintained == "yes"
	input.image.user != "root"
}

allow if {
	input.image
	env := {name: value |
		some pair in input.image.env
		[name, value] := split(pair, "=")
	}
	to_number(env.LEVEL) > 2.5
}

decision := {"allow": allow}
