group "default" { targets = ["a", "b"] }
target "a" { output = ["type=registry", "type=image,name=x,push=true"] }
target "b" { output = ["type=docker,dest=x.tar"] }
