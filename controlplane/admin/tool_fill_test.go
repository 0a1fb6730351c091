package admin_test

import (
	"maps"
)

// schemaOf reads a schema once.
func (c *tool) schemaOf(cache map[string]object, segments ...string) object {
	c.t.Helper()
	path := c.at(append([]string{"schemas"}, segments...)...)
	if s, ok := cache[path]; ok {
		return s
	}
	code, _, s := c.request("GET", path, nil)
	if code != 200 {
		c.t.Fatalf("GET %s: %d %v", path, code, s)
	}
	cache[path] = s
	return s
}

// fill gives the entities of a file their defaults, in the way of the client
// library that such tools use.
func (c *tool) fill(s *state) {
	c.t.Helper()
	cache := map[string]object{}
	if code, _, _ := c.request("GET", c.at("schemas", "consumer_group_plugins"), nil); code != 404 && code != 200 {
		c.t.Fatalf("GET /schemas/consumer_group_plugins: %d", code)
	}
	for _, k := range toolKinds {
		for _, e := range s.entities[k.name] {
			switch {
			case k.name == "plugins":
				c.fillPlugin(e, c.schemaOf(cache, "plugins", e["name"].(string)))
			case k.schema:
				fillLeaves(e, fieldsOf(c.schemaOf(cache, k.name)))
			}
		}
	}
}

// field is one entry of a schema's "fields".
type schemaField struct {
	name string
	object
}

func fieldsOf(s object) []schemaField {
	var out []schemaField
	list, _ := s["fields"].([]any)
	for _, f := range list {
		for name, rules := range f.(object) {
			out = append(out, schemaField{name, rules.(object)})
		}
	}
	return out
}

// fillLeaves takes the defaults of leaf fields and of those in records; a
// record's own default counts for nothing.
func fillLeaves(e object, fields []schemaField) {
	for _, f := range fields {
		if f.object["type"] == "record" {
			inner, ok := e[f.name].(object)
			if !ok {
				if e[f.name] != nil {
					continue
				}
				inner = object{}
			}
			fillLeaves(inner, fieldsOf(f.object))
			if len(inner) > 0 {
				e[f.name] = inner
			}
			continue
		}
		if def, ok := f.object["default"]; ok && e[f.name] == nil {
			e[f.name] = def
		}
	}
}

func (c *tool) fillPlugin(p, s object) {
	for _, f := range fieldsOf(s) {
		switch f.name {
		case "config":
			config, _ := p["config"].(object)
			if config == nil {
				config = object{}
			}
			fillConfig(config, f.object)
			p["config"] = config
		case "protocols":
			if p["protocols"] == nil {
				p["protocols"] = f.object["default"]
			}
		}
	}
	if p["enabled"] == nil {
		p["enabled"] = true
	}
}

// fillConfig gives unset leaves the record's default for them, else their own,
// else null.
func fillConfig(config, record object) {
	whole, _ := record["default"].(object)
	covered := shorthands(config, record)
	for _, f := range fieldsOf(record) {
		value, given := config[f.name]
		if covered[f.name] || f.object["auto"] == true {
			continue
		}
		switch f.object["type"] {
		case "record":
			inner, ok := value.(object)
			if !ok && value == nil && (f.object["required"] == true || given && value != nil) {
				inner, ok = object{}, true
			}
			if ok {
				fillConfig(inner, f.object)
				config[f.name] = inner
				continue
			}
		case "array", "set":
			elements, _ := f.object["elements"].(object)
			list, ok := value.([]any)
			if ok && elements["type"] == "record" {
				for _, e := range list {
					fillConfig(e.(object), elements)
				}
			}
		}
		if value != nil {
			continue
		}
		def, ok := whole[f.name]
		if !ok {
			def = f.object["default"]
		}
		if inner, ok := def.(object); ok && f.object["type"] == "record" {
			inner = maps.Clone(inner)
			fillConfig(inner, f.object)
			def = inner
		}
		config[f.name] = def
	}
}

// shorthands are the fields that a deprecated name in the configuration covers.
func shorthands(config, record object) map[string]bool {
	covered := map[string]bool{}
	list, _ := record["shorthand_fields"].([]any)
	for _, one := range list {
		for name, rules := range one.(object) {
			if _, given := config[name]; !given {
				continue
			}
			deprecation, _ := rules.(object)["deprecation"].(object)
			replaced, _ := deprecation["replaced_with"].([]any)
			for _, r := range append(replaced, object{"path": rules.(object)["translate_backwards"]}) {
				if path, _ := r.(object)["path"].([]any); len(path) == 1 {
					covered[path[0].(string)] = true
				}
			}
		}
	}
	return covered
}
