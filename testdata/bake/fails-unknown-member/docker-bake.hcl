target "a" {}
target "default" { tags = target.b.tags }
