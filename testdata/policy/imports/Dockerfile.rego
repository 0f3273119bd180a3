package docker

import data.lib.names as n
import data.lib.deep.hosts

default allow := false

allow if n.known(input.image.repo)
allow if input.http.host in hosts.allowed

decision := {"allow": allow}
