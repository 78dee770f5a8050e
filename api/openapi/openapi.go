// Package openapi writes down, for the api station, what the API is, in the
// words of OpenAPI 3.1 (spec.openapis.org/oas/v3.1.0), so that clients can be
// made and answers be checked by programs.
package openapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Schema is a JSON Schema of draft 2020-12, which OpenAPI 3.1 uses as it is.
type Schema map[string]any

// Of is the schema of a JSON type: "string", "integer", "boolean", "object".
func Of(typ string) Schema { return Schema{"type": typ} }

// Text is the schema of a string with a format ("uuid", "ipv4", "date-time").
func Text(format string) Schema { return Schema{"type": "string", "format": format} }

// List is the schema of an array.
func List(item Schema) Schema { return Schema{"type": "array", "items": item} }

// Object is the schema of an object with these properties and no others.
func Object(properties map[string]Schema) Schema {
	return Schema{"type": "object", "properties": properties, "additionalProperties": false}
}

// OrNull is the schema of a value that may be null.
func OrNull(s Schema) Schema {
	out := Schema{}
	for k, v := range s {
		out[k] = v
	}
	switch t := s["type"].(type) {
	case string:
		out["type"] = []string{t, "null"}
	case nil:
		return Schema{"anyOf": []Schema{s, Of("null")}}
	}
	if enum, ok := s["enum"].([]any); ok {
		out["enum"] = append(slices.Clone(enum), nil)
	}
	return out
}

// Attribute is one attribute of a resource.
type Attribute struct {
	Name   string
	Schema Schema // of a value in an answer
	// Post and Put say that the attribute may be sent; Required that a POST
	// without it is refused; Hidden that no answer shows it.
	Post, Put, Required, Hidden bool
	Filter, Sort                bool
}

// Resource is one collection with its items.
type Resource struct {
	One, Many, Path string // "security_group", "security_groups", "security-groups"
	Attributes      []Attribute
}

// Route is one request that the API answers.
type Route struct {
	Method string // "GET"
	Path   string // "/v2.0/networks/{network_id}"
	About  string
	Rule   string // of the policy
	// Resource is what it reads or writes, nil for others.
	Resource *Resource
	// Many says that the answer is a list; Item that the path is that of one
	// object of the resource, or of its collection, and nothing below it.
	Many, Item bool
}

// Document is the whole document, as JSON. The error is a defect of the caller:
// two routes with one method and path.
func Document(version string, resources []*Resource, routes []Route) ([]byte, error) {
	schemas := map[string]Schema{"Error": errorSchema()}
	for _, r := range resources {
		schemas[r.One] = r.answer()
		if s := r.request(func(a Attribute) bool { return a.Post }); s != nil {
			schemas[r.One+"_create"] = s
		}
		if s := r.request(func(a Attribute) bool { return a.Put }); s != nil {
			delete(s, "required")
			schemas[r.One+"_update"] = s
		}
	}
	paths := map[string]map[string]any{}
	for _, r := range routes {
		at := paths[r.Path]
		if at == nil {
			at = map[string]any{}
			paths[r.Path] = at
		}
		method := strings.ToLower(r.Method)
		if at[method] != nil {
			return nil, fmt.Errorf("openapi: two routes are %s %s", r.Method, r.Path)
		}
		at[method] = operation(r)
	}
	return json.MarshalIndent(map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "OpenStack Networking API v2.0", "version": version,
			"description": "What this server answers, made from the registry that it answers from.",
		},
		"paths": paths,
		"components": map[string]any{
			"schemas": schemas,
			"securitySchemes": map[string]any{
				"token": map[string]any{"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
				"basic": map[string]any{"type": "http", "scheme": "basic"},
			},
		},
		"security": []any{map[string]any{"token": []string{}}, map[string]any{"basic": []string{}}, map[string]any{}},
	}, "", " ")
}

// errorSchema is the body of every failure but 401.
func errorSchema() Schema {
	return Object(map[string]Schema{"NeutronError": Object(map[string]Schema{
		"type": Of("string"), "message": Of("string"), "detail": Of("string"),
	})})
}

// answer is an object of the resource as answers show it; a caller may be shown
// fewer attributes.
func (r *Resource) answer() Schema {
	properties := map[string]Schema{}
	for _, a := range r.Attributes {
		if !a.Hidden {
			properties[a.Name] = a.Schema
		}
	}
	return Object(properties)
}

// request is an object of the resource as a request sends it, nil if none may.
func (r *Resource) request(sent func(Attribute) bool) Schema {
	properties, required := map[string]Schema{}, []string{}
	for _, a := range r.Attributes {
		if !sent(a) {
			continue
		}
		properties[a.Name] = a.Schema
		if a.Required {
			required = append(required, a.Name)
		}
	}
	if len(properties) == 0 {
		return nil
	}
	s := Object(properties)
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}
