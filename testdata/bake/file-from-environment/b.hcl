target "default" { args = { B = "b" } }
