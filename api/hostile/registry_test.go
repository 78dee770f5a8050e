package hostile

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"neutrino"
)

// collection is what can be sent to one collection: its attributes come from
// the server's own description, so that a new one is attacked from its first day.
type collection struct {
	one, path   string
	create, put []string
	filters     []string // and what else a query can hold
}

// registry is the server's description of itself, as far as requests need it.
type registry struct {
	collections []collection
	routes      [][2]string // method and path with {names}
}

func (w *world) registry() registry {
	w.t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	a := w.send(admin(), "GET", "/openapi.json", "")
	if err := json.Unmarshal([]byte(a.text), &doc); err != nil || a.status != 200 {
		w.t.Fatalf("the server's description: %d %.200s %v", a.status, a.text, err)
	}
	var r registry
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			r.routes = append(r.routes, [2]string{strings.ToUpper(method), path})
		}
	}
	for one, path := range pathsOf() {
		c := collection{one: one, path: path}
		c.create = slices.Sorted(maps.Keys(doc.Components.Schemas[one+"_create"].Properties))
		c.put = slices.Sorted(maps.Keys(doc.Components.Schemas[one+"_update"].Properties))
		for _, p := range doc.Paths[path]["get"].Parameters {
			if p.In == "query" {
				c.filters = append(c.filters, p.Name)
			}
		}
		r.collections = append(r.collections, c)
	}
	r.collections = append(r.collections, below()...)
	slices.SortFunc(r.collections, func(a, b collection) int { return strings.Compare(a.one, b.one) })
	r.isWhole(w.t, doc.Paths["/v2.0/networks"] != nil, slices.Collect(maps.Keys(doc.Components.Schemas)))
	return r
}

// isWhole fails when the server has a noun that this package does not attack.
func (r registry) isWhole(t testing.TB, described bool, schemas []string) {
	t.Helper()
	if !described {
		t.Fatal("the server's description lacks the networks")
	}
	for _, name := range schemas {
		one, made := strings.CutSuffix(name, "_create")
		if !made {
			if one, made = strings.CutSuffix(name, "_update"); !made {
				continue
			}
		}
		i := slices.IndexFunc(r.collections, func(c collection) bool { return c.one == one })
		if i < 0 {
			t.Errorf("nothing hostile is sent to %s: give it a path in pathsOf and a body in bodies", one)
			continue
		}
		if c := r.collections[i]; len(c.create)+len(c.put) == 0 {
			t.Errorf("%s has no attribute that can be sent", one)
		}
	}
}

// pathsOf are the collections by what one object is called.
func pathsOf() map[string]string {
	return map[string]string{
		"network": "/v2.0/networks", "subnet": "/v2.0/subnets", "port": "/v2.0/ports", "router": "/v2.0/routers",
		"floatingip": "/v2.0/floatingips", "security_group": "/v2.0/security-groups",
		"security_group_rule": "/v2.0/security-group-rules", "subnetpool": "/v2.0/subnetpools",
		"address_scope": "/v2.0/address-scopes", "rbac_policy": "/v2.0/rbac-policies", "agent": "/v2.0/agents",
		"metering_label": "/v2.0/metering/metering-labels", "metering_label_rule": "/v2.0/metering/metering-label-rules",
	}
}

// below are the collections below an item: their attributes are those of the
// nouns' tags.
func below() []collection {
	return []collection{
		collectionOf[neutrino.PortForwarding]("port_forwarding", "/v2.0/floatingips/<floating>/port_forwardings"),
		collectionOf[neutrino.PortBinding]("binding", "/v2.0/ports/<vm>/bindings"),
	}
}

func collectionOf[T any](one, path string) collection {
	c := collection{one: one, path: path, filters: []string{"fields", "limit", "marker", "sort_key", "sort_dir"}}
	typ := reflect.TypeFor[T]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		words := strings.Split(f.Tag.Get("api"), ",")
		if slices.Contains(words, "post") {
			c.create = append(c.create, name)
		}
		if slices.Contains(words, "put") {
			c.put = append(c.put, name)
		}
		if slices.Contains(words, "filter") {
			c.filters = append(c.filters, name)
		}
	}
	return c
}

// body is a POST of the object that succeeds: only what it has to have, and
// what makes hosts interested in it.
func (w *world) body(one string) map[string]any {
	w.n++
	n := w.n
	switch one {
	case "network":
		return map[string]any{}
	case "subnet":
		return map[string]any{"network_id": w.ids["net"], "ip_version": 4, "cidr": fmt.Sprintf("10.%d.%d.0/24", 2+n/250%200, n%250)}
	case "port":
		return map[string]any{"network_id": w.ids["net"], "security_groups": []any{w.ids["group"]}}
	case "router":
		return map[string]any{"external_gateway_info": map[string]any{"network_id": w.ids["external"]}}
	case "floatingip":
		return map[string]any{"floating_network_id": w.ids["external"]}
	case "security_group":
		return map[string]any{"name": "g"}
	case "security_group_rule":
		return map[string]any{"security_group_id": w.ids["group"], "direction": "ingress", "protocol": "tcp",
			"port_range_min": 1 + n%60000, "port_range_max": 2 + n%60000}
	case "subnetpool":
		return map[string]any{"name": "p", "prefixes": []any{"172.16.0.0/12"}}
	case "address_scope":
		return map[string]any{"name": "s", "ip_version": 4}
	case "rbac_policy":
		return map[string]any{"object_type": "network", "object_id": w.ids["net"], "action": "access_as_shared", "target_tenant": fmt.Sprintf("%032x", n)}
	case "metering_label":
		return map[string]any{"name": "l"}
	case "metering_label_rule":
		return map[string]any{"metering_label_id": w.ids["label"], "direction": "egress", "remote_ip_prefix": fmt.Sprintf("10.%d.%d.0/24", n/250%250, n%250)}
	case "port_forwarding":
		return map[string]any{"protocol": "tcp", "external_port": 1 + n%60000, "internal_port": 80, "internal_port_id": w.ids["vm"],
			"internal_ip_address": w.ids["vm address"]}
	case "binding":
		return map[string]any{"host": network}
	}
	return nil
}

// fill puts ids into a path.
func (w *world) fill(path string) string {
	for name, id := range w.ids {
		path = strings.ReplaceAll(path, "<"+name+">", id)
	}
	return path
}

// parsed is the URL of a path that a server would get, whatever is in it.
func parsed(path string) *url.URL {
	if u, err := url.ParseRequestURI(path); err == nil {
		return u
	}
	at, query, _ := strings.Cut(path, "?")
	return &url.URL{Path: at, RawQuery: query}
}
