target "app" {
  args = { A = "1" }
  tags = ["a"]
  platforms = ["linux/amd64"]
  labels = { l = "1" }
  cache-from = ["type=gha"]
  output = ["type=docker"]
}
target "appendix" {}
target "other" {}
group "default" { targets = ["app", "appendix", "other"] }
