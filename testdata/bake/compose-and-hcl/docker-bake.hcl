target "app" { args = { B = "2" } }
target "more" { inherits = ["app"] }
group "default" { targets = ["app", "more"] }
