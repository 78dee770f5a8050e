package api

import (
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"neutrino"
	"neutrino/api/openapi"
	"neutrino/api/wire"
	"neutrino/auth"
)

// pathDocument is where the API's own description is, for everybody.
const pathDocument = "/openapi.json"

// document is the OpenAPI document of all that the API answers.
func document(resources []resource) ([]byte, error) {
	about := map[string]string{}
	for _, r := range auth.Defaults() {
		about[r.Name] = r.About
	}
	var described []*openapi.Resource
	var routes []openapi.Route
	for _, res := range resources {
		d := res.describe()
		described = append(described, d)
		base := "/v2.0/" + res.called().path
		for _, r := range res.routes() {
			below, _ := strings.CutPrefix(r.path, base)
			routes = append(routes, openapi.Route{
				Method: r.method, Path: r.path, Rule: r.rule, About: about[r.rule], Resource: d,
				Many: below == "" && r.method == http.MethodGet, Item: strings.Count(below, "/") <= 1,
			})
		}
	}
	for _, r := range append(quotaRoutes(), openRoutes()...) {
		routes = append(routes, openapi.Route{Method: r.method, Path: r.path, Rule: r.rule, About: about[r.rule]})
	}
	return openapi.Document(version(), described, routes)
}

// openRoutes are the requests on which no rule decides.
func openRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/"}, {method: http.MethodGet, path: "/v2.0/"}, {method: http.MethodGet, path: pathDocument},
		{method: http.MethodGet, path: pathAlive}, {method: http.MethodGet, path: pathReady},
		{method: http.MethodGet, path: "/v2.0/extensions"}, {method: http.MethodGet, path: "/v2.0/extensions/{alias}"},
	}
}

// version is the program's, as it was built.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// describe is the kind as the document shows it.
func (k *kind[T]) describe() *openapi.Resource {
	r := &openapi.Resource{One: k.one, Many: k.many, Path: k.path}
	for _, a := range k.attrs.List {
		out := openapi.Attribute{
			Name: a.Name, Schema: formOfAttribute(a), Post: a.Post, Put: a.Put,
			Required: a.Required, Filter: a.Filter, Sort: a.Sort,
		}
		if form := k.formOf(a.Name); form != nil {
			out.Schema = form
		}
		r.Attributes = append(r.Attributes, out)
		for other, name := range k.others {
			if name == a.Name {
				out.Name, out.Required, out.Hidden = other, false, other != tenantID
				r.Attributes = append(r.Attributes, out)
			}
		}
	}
	for _, col := range k.computed {
		if k.attrs.ByName[col.name] == nil {
			form := k.formOf(col.name)
			if form == nil {
				form = openapi.Schema{}
			}
			r.Attributes = append(r.Attributes, openapi.Attribute{Name: col.name, Schema: form})
		}
	}
	for _, name := range k.hidden {
		r.Attributes = append(r.Attributes, openapi.Attribute{
			Name: name, Schema: openapi.OrNull(openapi.Text("uuid")), Post: true, Hidden: true,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(k.asides)) {
		r.Attributes = append(r.Attributes, openapi.Attribute{
			Name: name, Schema: schemaOf(k.asides[name]()), Post: true, Hidden: true,
		})
	}
	return r
}

// describe is the report as the document shows it.
func (r *report[T]) describe() *openapi.Resource {
	out := &openapi.Resource{One: r.names.one, Many: r.many, Path: r.path}
	for _, f := range r.fields {
		s := openapi.Of("string")
		if f.write != nil {
			s = openapi.Schema{}
		}
		out.Attributes = append(out.Attributes, openapi.Attribute{Name: f.name, Schema: s, Filter: f.text != nil})
	}
	return out
}

// formOf is the form of a computed attribute, nil if nothing says it.
func (k *kind[T]) formOf(name string) openapi.Schema {
	if i := k.computedAt(name); i >= 0 && k.computed[i].form != nil {
		return k.computed[i].form
	}
	return computedForm(name)
}

// computedForm is the form of an attribute that is worked out, or written
// otherwise than its type says; nil is the type's, or anything.
func computedForm(name string) openapi.Schema {
	switch name {
	case "subnets", "availability_zones":
		return openapi.List(openapi.Of("string"))
	case gatewayInfo:
		return gatewayForm()
	case "ipv4_address_scope", "ipv6_address_scope":
		return openapi.OrNull(openapi.Of("string"))
	case "min_prefixlen", "max_prefixlen", "default_prefixlen":
		return openapi.Schema{"type": []string{"string", "integer", "null"}}
	case "security_group_rules", "port_forwardings", "dns_assignment":
		return openapi.List(openapi.Of("object"))
	case "port_details", "binding:vif_details", "binding:profile", "configurations":
		return openapi.OrNull(openapi.Of("object"))
	}
	return nil
}

// formOfAttribute is what the attribute's values are in answers.
func formOfAttribute(a *wire.Attribute) openapi.Schema {
	s := schemaOf(reflect.New(a.Type).Interface())
	if a.Longest > 0 {
		s["maxLength"] = a.Longest
	}
	if len(a.Enum) > 0 && a.Type.Kind() == reflect.String {
		enum := make([]any, 0, len(a.Enum)+1)
		for _, e := range a.Enum {
			enum = append(enum, e)
		}
		s["enum"] = enum
	}
	if a.Null {
		s = openapi.OrNull(s)
	}
	return s
}

// schemaOf is the wire form of the nouns' types, as encode.go writes them.
func schemaOf(p any) openapi.Schema {
	if wire.AsString(p) != nil {
		return openapi.Of("string")
	}
	address := openapi.OrNull(openapi.Schema{"type": "string"})
	switch p.(type) {
	case *bool:
		return openapi.Of("boolean")
	case *int, *int64:
		return openapi.Of("integer")
	case **int:
		return openapi.OrNull(openapi.Of("integer"))
	case *neutrino.MAC:
		return openapi.Of("string")
	case *netip.Addr, *netip.Prefix:
		return address
	case *time.Time:
		return openapi.Of("string")
	case *[]string:
		return openapi.List(openapi.Of("string"))
	case *[]neutrino.ID:
		return openapi.List(openapi.Text("uuid"))
	case *[]netip.Addr, *[]netip.Prefix:
		return openapi.List(openapi.Of("string"))
	case *[]neutrino.FixedIP:
		return fixedIPForm()
	case *[]neutrino.Pool:
		return openapi.List(texts("start", "end"))
	case *[]neutrino.HostRoute:
		return openapi.List(texts("destination", "nexthop"))
	case *[]neutrino.AddressPair:
		return openapi.List(texts("ip_address", "mac_address"))
	case *[]neutrino.DHCPOption:
		o := texts("opt_name")
		o["properties"].(map[string]openapi.Schema)["opt_value"] = openapi.OrNull(openapi.Of("string"))
		o["properties"].(map[string]openapi.Schema)["ip_version"] = openapi.Of("integer")
		return openapi.List(o)
	}
	return openapi.Schema{}
}

// texts is an object of strings.
func texts(names ...string) openapi.Schema {
	properties := map[string]openapi.Schema{}
	for _, n := range names {
		properties[n] = openapi.Of("string")
	}
	return openapi.Object(properties)
}

func fixedIPForm() openapi.Schema { return openapi.List(texts("subnet_id", "ip_address")) }

// gatewayForm is external_gateway_info (api.md section 2.6).
func gatewayForm() openapi.Schema {
	return openapi.OrNull(openapi.Object(map[string]openapi.Schema{
		gatewayNetwork: openapi.Of("string"), gatewaySNAT: openapi.Of("boolean"), gatewayFixedIPs: fixedIPForm(),
	}))
}
