group "app" { targets = ["app", "other"] }
target "app" { tags = ["x"] }
target "other" {}
