variable "V" { default = "v" }
target "default" {
  dockerfile-inline = <<EOF
# syntax=docker/dockerfile:1
FROM scratch
ARG X=$${Y}
COPY <<EOT /a
  ${V}
EOT
EOF
  args = {
    a = <<-EOT
    first
      second ${V}
    ${V} third
    EOT
    b = <<-EOT
        x
      y
	tab
    EOT
    c = <<EOT
EOT
  }
}
