target "default" {
  ssh = ["default", { id = "key", paths = ["a", "b"] }]
}
