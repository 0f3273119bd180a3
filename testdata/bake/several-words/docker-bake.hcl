group "default" { targets = ["a"] }
group "pair" { targets = ["b", "c"] }
target "a" {}
target "b" {}
target "c" {}
