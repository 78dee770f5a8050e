package api

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"neutrino"
	"neutrino/api/wire"
)

// wildValue draws any JSON value, with a liking for those that attributes
// nearly take.
func wildValue(t *rapid.T, depth int) any {
	kinds := 9
	if depth == 0 {
		kinds = 7
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Int64().Draw(t, "int")
	case 3:
		return rapid.Float64().Draw(t, "float")
	case 4:
		return rapid.String().Draw(t, "string")
	case 5, 6:
		return rapid.SampledFrom(plausible()).Draw(t, "plausible")
	case 7:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, wildValue(t, depth-1))
		}
		return list
	}
	o := map[string]any{}
	for range rapid.IntRange(0, 3).Draw(t, "size") {
		key := rapid.SampledFrom([]string{"network_id", "enable_snat", "external_fixed_ips", "subnet_id", "ip_address", "mac_address", "start", "end", "destination",
			"nexthop", "opt_name", "opt_value", "ip_version", "x"}).Draw(t, "key")
		o[key] = wildValue(t, depth-1)
	}
	return o
}

func plausible() []any {
	return []any{"", "10.0.0.5", "10.0.0.0/24", "0.0.0.0/0", "255.255.255.255", "fd00::1", "fd00::/64", "::/0", "::", "::ffff:1.2.3.4",
		"10.0.0.0/32", "10.0.0.0/31", "224.0.0.0/4", "127.0.0.0/8", "fe80::/10", "fa:16:3e:00:00:01", "00:00:00:00:00:00", "IPv4", "IPv6",
		"ingress", "egress", "tcp", "icmp", "ipv6-icmp", "255", "256", "-1", "slaac", "dhcpv6-stateless", "gre", "vxlan", "vlan", "true", "nova",
		"network:dhcp", "compute:nova", "default", 0, 1, 4, 6, 68, 1280, 1458, 65535, 65536, 1 << 24, 1 << 32, int64(1) << 62,
		"11111111-2222-4333-8444-555555555555", "h1", "\x00", "é\u2028", strings.Repeat("x", 256)}
}

// wildIDs are ids that exist, by the path of their resource.
type wildIDs map[string][]string

// draw is an id that exists, or nearly.
func (w wildIDs) draw(t *rapid.T) string {
	all := []string{"11111111-2222-4333-8444-555555555555", "x", "%00", "é"}
	for _, path := range slices.Sorted(maps.Keys(w)) {
		all = append(all, w[path]...)
	}
	return rapid.SampledFrom(all).Draw(t, "id")
}

// drawOf is mostly an id of the resource.
func (w wildIDs) drawOf(t *rapid.T, path string) string {
	if own := w[path]; len(own) > 0 && rapid.IntRange(0, 3).Draw(t, "own") > 0 {
		return rapid.SampledFrom(own).Draw(t, "id")
	}
	return w.draw(t)
}

func (k *kind[T]) attributeTable() []*wire.Attribute { return k.attrs.List }

func namesOf(r resource) []string {
	names := []string{"tenant_id", "nonsense", "security_group_rules", "subnets"}
	if k, ok := r.(interface{ attributeTable() []*wire.Attribute }); ok {
		for _, a := range k.attributeTable() {
			names = append(names, a.Name)
		}
	}
	return names
}

// drawBody draws a body for the resource: mostly well wrapped, with attributes
// that exist, ids that exist, and any values.
func drawBody(t *rapid.T, r resource, ids wildIDs) string {
	if rapid.IntRange(0, 9).Draw(t, "raw") == 0 {
		return rapid.SampledFrom([]string{"", "{}", "[]", "null", "{", `{"port":1}`, strings.Repeat("[", 20000), `{"a":"\ud800"}`}).Draw(t, "body")
	}
	n := r.called()
	object := func() map[string]any {
		o := map[string]any{}
		if rapid.Bool().Draw(t, "likely") {
			likely := map[string]map[string]any{
				"subnet":              {"network_id": ids.drawOf(t, "networks"), "ip_version": 4, "cidr": "10.0.0.0/24"},
				"port":                {"network_id": ids.drawOf(t, "networks")},
				"security_group_rule": {"security_group_id": ids.drawOf(t, "security-groups"), "direction": "ingress"},
				"network":             {"router:external": true, "provider:network_type": "flat", "provider:physical_network": "p"},
				"router":              {"external_gateway_info": map[string]any{"network_id": ids.drawOf(t, "networks")}},
				"floatingip":          {"floating_network_id": ids.drawOf(t, "networks"), "port_id": ids.drawOf(t, "ports")},
				"port_forwarding": {"protocol": "tcp", "internal_port_id": ids.drawOf(t, "ports"), "internal_ip_address": "10.0.0.9",
					"external_port": 80, "internal_port": 80},
			}
			for key, v := range likely[n.one] {
				o[key] = v
			}
		}
		names := namesOf(r)
		for range rapid.IntRange(0, 4).Draw(t, "attributes") {
			o[rapid.SampledFrom(names).Draw(t, "name")] = wildValue(t, 2)
		}
		return o
	}
	body := map[string]any{}
	if rapid.IntRange(0, 4).Draw(t, "bulk") == 0 {
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			list = append(list, object())
		}
		body[n.many] = list
	} else {
		body[n.one] = object()
	}
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func drawQuery(t *rapid.T, r resource, ids wildIDs) string {
	names := append(namesOf(r), "limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields", "fixed_ips", "tags")
	params := url.Values{}
	for range rapid.IntRange(0, 4).Draw(t, "parameters") {
		value := wire.Show(wildValue(t, 1))
		if rapid.Bool().Draw(t, "known") {
			value = rapid.SampledFrom(append([]string{"asc", "desc", "1", "0", "true", "id", "name", "subnet_id=x",
				"ip_address=10.0.0.1", "ip_address_substr=1"}, ids.draw(t))).Draw(t, "value")
		}
		params.Add(rapid.SampledFrom(names).Draw(t, "parameter"), value)
	}
	return params.Encode()
}

// TestNoRequestMakesAnInternalError sends anything to every resource: the
// answer is JSON and never a 5xx.
func TestNoRequestMakesAnInternalError(t *testing.T) {
	c := newCloud(t)
	ids := wildFixture(c)
	seen := map[int]int{}
	list := c.h.(*api).order
	rapid.Check(t, func(rt *rapid.T) {
		for range 30 {
			method, path, status := wildRequest(rt, c, list, ids)
			seen[status]++
			if method == "DELETE" && status == 204 {
				ids = wildFixture(c) // so that the next requests have something to work on
			}
			if status >= 500 {
				rt.Fatalf("%s %s: %s", method, path, c.log.String())
			}
		}
	})
	t.Logf("answers by status: %v", seen)
	for _, status := range []int{200, 201, 204, 400, 404} {
		if seen[status] == 0 {
			t.Errorf("no request was answered with %d: the requests are not wild enough", status)
		}
	}
}

// wildRequest sends one request and checks that the answer is JSON.
func wildRequest(rt *rapid.T, c *cloud, list []resource, ids wildIDs) (method, path string, status int) {
	if rapid.IntRange(0, 3).Draw(rt, "below") == 0 {
		return wildMember(rt, c, ids)
	}
	r := rapid.SampledFrom(list).Draw(rt, "resource")
	method = rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE", "POST", "PUT", "PATCH"}).Draw(rt, "method")
	path = "/v2.0/" + r.called().path
	if method == "PUT" || method == "DELETE" || method == "GET" && rapid.Bool().Draw(rt, "item") {
		path += "/" + url.PathEscape(ids.drawOf(rt, r.called().path))
	}
	if query := drawQuery(rt, r, ids); query != "" && method == "GET" {
		path += "?" + query
	}
	body := ""
	if method == "POST" || method == "PUT" {
		body = drawBody(rt, r, ids)
	}
	return method, path, wildSend(rt, c, method, path, body)
}

// wildSend sends as anybody; the answer is JSON.
func wildSend(rt *rapid.T, c *cloud, method, path, body string) int {
	var headers []string
	if rapid.IntRange(0, 2).Draw(rt, "member") == 0 {
		project := rapid.SampledFrom([]string{"default", "other"}).Draw(rt, "project")
		headers = []string{"X-Roles", "member", "X-Project-Id", project}
	}
	a := c.do(method, path, body, headers...)
	if a.status != 204 && !json.Valid([]byte(a.text)) {
		rt.Fatalf("%s %s %s: not JSON: %q", method, path, body, a.text)
	}
	return a.status
}

// wildMember sends one request to a path below an item.
func wildMember(rt *rapid.T, c *cloud, ids wildIDs) (method, path string, status int) {
	parts := strings.Split(rapid.SampledFrom([]string{"routers/*/add_router_interface", "routers/*/remove_router_interface",
		"routers/*/add_extraroutes", "routers/*/remove_extraroutes", "routers/*/l3-agents", "networks/*/dhcp-agents", "agents/*/l3-routers",
		"agents/*/dhcp-networks", "agents/*/l3-routers/*", "agents/*/dhcp-networks/*", "floatingips/*/port_forwardings",
		"floatingips/*/port_forwardings/*", "floatingips/*/*", "routers/*/*/*"}).Draw(rt, "member path"), "/")
	for i, part := range parts {
		if part == "*" {
			parts[i] = url.PathEscape(ids.drawOf(rt, parts[i-1]))
		}
	}
	path = "/v2.0/" + strings.Join(parts, "/")
	method = rapid.SampledFrom([]string{"GET", "POST", "PUT", "PUT", "POST", "DELETE"}).Draw(rt, "method")
	body := ""
	switch {
	case method == "GET":
		path += "?" + drawQuery(rt, portForwardings(), ids)
	case method != "DELETE" && strings.Contains(path, "port_forwardings"):
		body = drawBody(rt, portForwardings(), ids)
	case method != "DELETE" && strings.Contains(path, "extraroutes"):
		body = drawBody(rt, routers(), ids)
	case method != "DELETE":
		key := rapid.SampledFrom([]string{"subnet_id", "port_id", "network_id", "router_id"}).Draw(rt, "key")
		b, err := json.Marshal(map[string]any{key: rapid.OneOf(rapid.Just[any](ids.drawOf(rt, map[string]string{"subnet_id": "subnets", "port_id": "ports", "network_id": "networks", "router_id": "routers"}[key])), rapid.Just(wildValue(rt, 1))).Draw(rt, "value")})
		if err != nil {
			rt.Fatal(err)
		}
		body = string(b)
	}
	return method, path, wildSend(rt, c, method, path, body)
}

// wildFixture makes one object of each kind; the ids are the result.
func wildFixture(c *cloud) wildIDs {
	net := c.network("n")
	sub := c.subnet(net, "10.0.0.0/24")
	port := c.port(net, "")["id"].(string)
	c.host("h1", "nova")
	r := c.routed()
	vm := c.port(r.network, `,"fixed_ips":[{"ip_address":"10.0.0.9"}]`)["id"].(string)
	one, two := c.floating(r.external, `,"port_id":"`+vm+`"`)["id"].(string), c.floating(r.external, "")["id"].(string)
	other := c.port(r.network, `,"fixed_ips":[{"ip_address":"10.0.0.10"}]`)["id"].(string)
	forwarding := c.post("/v2.0/floatingips/"+two+"/port_forwardings", `{"port_forwarding":{"protocol":"tcp","external_port":80,
		"internal_port":80,"internal_ip_address":"10.0.0.10","internal_port_id":"`+other+`"}}`)["id"].(string)
	group := c.post("/v2.0/security-groups", `{"security_group":{"name":"g"}}`)
	rule := group["security_group_rules"].([]any)[0].(map[string]any)["id"].(string)
	return wildIDs{
		"networks": {net, r.external, r.network}, "subnets": {sub, r.outside, r.inside}, "ports": {port, vm, other},
		"security-groups": {group["id"].(string)}, "security-group-rules": {rule}, "routers": {r.router}, "floatingips": {one, two},
		"port_forwardings": {forwarding}, "agents": {c.agentOf("h1", neutrino.AgentDHCP), c.agentOf("h1", neutrino.AgentL3)},
		"l3-routers": {r.router}, "dhcp-networks": {net, r.network}, "network-ip-availabilities": {net},
	}
}

// FuzzBody sends bytes as bodies of every resource.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"network":{"name":"x","mtu":1}}`))
	f.Add([]byte(`{"ports":[{"network_id":"x","fixed_ips":[{"ip_address":"::"}]}]}`))
	f.Add([]byte(`{"security_group_rule":{"direction":"ingress","security_group_id":"x","port_range_min":1e9}}`))
	c := newCloud(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		c := &cloud{t: t, db: c.db, h: c.h}
		for _, r := range c.h.(*api).order {
			for _, request := range [][2]string{{"POST", ""}, {"PUT", "/x"}} {
				a := c.do(request[0], "/v2.0/"+r.called().path+request[1], string(body))
				if a.status >= 500 {
					t.Fatalf("%s %s: %d %s", request[0], body, a.status, a.text)
				}
			}
		}
	})
}
