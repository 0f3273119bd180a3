group "default" { targets = [] }
