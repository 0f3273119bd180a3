package docker

default allow := false

allow if {
	input.local.name == "context"
	count(failing) == 0
}

checks["glob"] if glob.match("*.example", ["."], "a.example")
checks["split"] if split("a/b", "/") == ["a", "b"]
checks["concat"] if concat("-", ["a", "b"]) == "a-b"
checks["regex"] if regex.find_all_string_submatch_n(`(\d+)\.(\d+)`, "v1.22", 1) == [["1.22", "1", "22"]]
checks["replace"] if regex.replace("a1", `\d`, "x") == "ax"
checks["semver"] if semver.is_valid("1.2.3-rc.1")
checks["number"] if to_number("12") == 12
checks["sprintf"] if sprintf("%s %d %v", ["a", 1, [true]]) == "a 1 [true]"
checks["time"] if time.parse_rfc3339_ns("2024-01-02T03:04:05Z") == 1704164645000000000
checks["base64"] if base64.decode("YQ==") == "a"
checks["json"] if json.unmarshal("{\"a\": [1]}").a[0] == 1
checks["object"] if object.get({"a": 1}, "b", 2) == 2
checks["union"] if object.union({"a": 1}, {"b": 2}) == {"a": 1, "b": 2}
checks["walk"] if sort([3, 1, 2]) == [1, 2, 3]
checks["sets"] if {1, 2} - {1} == {2}
checks["strings"] if upper(trim_space(" a ")) == "A"
checks["url"] if urlquery.decode("a%20b") == "a b"
checks["type"] if type_name(1) == "number"
checks["nothing"] if not to_number("x")
checks["slice"] if array.slice([1, 2, 3], 0, 2) == [1, 2]
checks["units"] if units.parse_bytes("1KiB") == 1024
checks["hex"] if hex.encode("a") == "61"
checks["any"] if strings.any_prefix_match("abc", ["x", "ab"])
checks["filter"] if json.filter({"a": {"b": 1, "c": 2}}, ["a/b"]) == {"a": {"b": 1}}

names := {"glob", "split", "concat", "regex", "replace", "semver", "number", "sprintf", "time", "base64", "json", "object", "union", "walk", "sets", "strings", "url", "type", "nothing", "slice", "units", "hex", "any", "filter"}

failing contains name if {
	some name in names
	not checks[name]
}

deny_msg := [name | some name in failing]

decision := {"allow": allow, "deny_msg": deny_msg}
