group "web-all" { targets = ["other"] }
target "web-a" {}
target "web-b" {}
target "other" {}
