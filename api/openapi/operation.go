package openapi

import (
	"strings"
)

// operation is one route in the document's form.
func operation(r Route) map[string]any {
	op := map[string]any{
		"operationId": strings.ToLower(r.Method) + "_" + identifier(r.Path),
		"parameters":  parameters(r),
		"responses":   responses(r),
	}
	if r.About != "" {
		op["summary"] = r.About
	}
	if r.Rule != "" {
		op["x-policy-rule"] = r.Rule
	}
	if r.Resource != nil {
		op["tags"] = []string{r.Resource.Many}
		if body := requestBody(r); body != nil {
			op["requestBody"] = body
		}
	}
	return op
}

// identifier makes a name of a path.
func identifier(path string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '/' || c == '-' || c == '.':
			return '_'
		case c == '{' || c == '}':
			return -1
		}
		return c
	}, strings.Trim(path, "/"))
}

// parameters are what a path and a query can hold.
func parameters(r Route) []any {
	out := []any{}
	for _, part := range strings.Split(r.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			out = append(out, parameter(strings.TrimSuffix(name, "}"), "path", Of("string")))
		}
	}
	if r.Resource == nil || r.Method != "GET" {
		return out
	}
	out = append(out, parameter("fields", "query", List(Of("string"))))
	if !r.Many || !r.Item {
		return out
	}
	var sortable []any
	for _, a := range r.Resource.Attributes {
		if a.Filter {
			out = append(out, parameter(a.Name, "query", List(Of("string"))))
		}
		if a.Sort {
			sortable = append(sortable, a.Name)
		}
	}
	if sortable == nil {
		return out
	}
	return append(out,
		parameter("sort_key", "query", List(Schema{"type": "string", "enum": sortable})),
		parameter("sort_dir", "query", List(Schema{"type": "string", "enum": []any{"asc", "desc"}})),
		parameter("limit", "query", Schema{"type": "integer", "minimum": 0}),
		parameter("marker", "query", Of("string")),
		parameter("page_reverse", "query", Of("boolean")))
}

func parameter(name, in string, s Schema) map[string]any {
	p := map[string]any{"name": name, "in": in, "schema": s}
	if in == "path" {
		p["required"] = true
	}
	return p
}

func ref(schema string) Schema { return Schema{"$ref": "#/components/schemas/" + schema} }

func content(s Schema) map[string]any {
	return map[string]any{"application/json": map[string]any{"schema": s}}
}

// requestBody wraps the object in its key, as the API does.
func requestBody(r Route) map[string]any {
	if !r.Item {
		return nil
	}
	one, many := r.Resource.One, r.Resource.Many
	switch r.Method {
	case "POST":
		s := ref(one + "_create")
		return map[string]any{"required": true, "content": content(Schema{"anyOf": []Schema{
			wrapped(one, s), wrapped(many, List(s)),
		}})}
	case "PUT":
		return map[string]any{"required": true, "content": content(wrapped(one, ref(one+"_update")))}
	}
	return nil
}

func wrapped(key string, s Schema) Schema {
	return Schema{"type": "object", "properties": map[string]Schema{key: s}, "required": []string{key}}
}

// responses are the good answer and the one form of all failures.
func responses(r Route) map[string]any {
	out := map[string]any{
		"401":     map[string]any{"description": "Nobody is known to ask."},
		"default": map[string]any{"description": "The request failed; type is Neutron's name of the failure.", "content": content(ref("Error"))},
	}
	switch {
	case r.Method == "DELETE":
		out["204"] = map[string]any{"description": "It is gone."}
	case r.Resource == nil || !r.Item:
		status := "200"
		if r.Method == "POST" {
			status = "201"
		}
		out[status] = map[string]any{"description": "Done."}
	case r.Method == "POST":
		out["201"] = map[string]any{"description": "What was made.", "content": content(Schema{"anyOf": []Schema{
			wrapped(r.Resource.One, ref(r.Resource.One)), wrapped(r.Resource.Many, List(ref(r.Resource.One))),
		}})}
	case r.Many:
		out["200"] = map[string]any{"description": "The objects that the caller sees.",
			"content": content(wrapped(r.Resource.Many, List(ref(r.Resource.One))))}
	default:
		out["200"] = map[string]any{"description": "The object.", "content": content(wrapped(r.Resource.One, ref(r.Resource.One)))}
	}
	return out
}
