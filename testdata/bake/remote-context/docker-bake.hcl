target "default" {
  context = "https://example.com/repo.git#main:dir"
  contexts = { cwd = "cwd://sub" }
}
