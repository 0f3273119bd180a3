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

decision := {"allow": allow}
