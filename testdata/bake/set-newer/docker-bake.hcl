target "default" {
  ulimits = ["nofile=1:1"]
  no-cache-filter = ["a"]
  secret = ["id=s,env=S"]
}
