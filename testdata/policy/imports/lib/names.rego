package somewhere.else

known(name) if name in load_json("names.json").names
