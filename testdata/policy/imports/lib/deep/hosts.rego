package hosts

allowed := {"a.example", "b.example"}
