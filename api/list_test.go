package api

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"neutrino/api/wire"
	"neutrino/store/engine/sqlite"
)

func memory() sqlite.Options { return sqlite.Options{Path: sqlite.Memory} }

func TestFiltersOfNetworks(t *testing.T) {
	c := newCloud(t)
	a := c.post("/v2.0/networks", `{"network":{"name":"a","shared":true,"description":"first"}}`)
	b := c.post("/v2.0/networks", `{"network":{"name":"b","admin_state_up":false,"tenant_id":"other"}}`)
	c.post("/v2.0/networks", `{"network":{"name":""}}`)
	for query, want := range map[string]string{
		"name=a":                          "a",
		"name=a&name=b":                   "a b",
		"name=a&admin_state_up=false":     "",
		"name=":                           "",
		"admin_state_up=False":            "b",
		"shared=1":                        "a",
		"tenant_id=other":                 "b",
		"project_id=other":                "b",
		"project_id=other&tenant_id=no":   "",
		"description=first":               "a",
		"id=nonsense":                     "",
		"router:external=true":            "",
		"status=ACTIVE&name=a":            "a",
		"provider:network_type=gre&name=": "",
		"id=" + a["id"].(string) + "&id=" + b["id"].(string): "a b",
		"revision_number=77": "",
		"mtu=1458&name=a":    "a",
	} {
		got := strings.Fields(column1(c.get("/v2.0/networks?sort_key=name&sort_dir=asc&"+query).list("networks"), "name"))
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %q", query, got, want)
		}
	}
	if n := len(c.get("/v2.0/networks?name=").list("networks")); n != 1 {
		t.Errorf("the empty name finds %d", n)
	}
	c.get("/v2.0/networks?foo=1").fails(400, wire.TypeBadRequest, "['foo'] is invalid attribute for filtering")
	c.get("/v2.0/networks?foo=1&created_at=2").fails(400, wire.TypeBadRequest, "['created_at', 'foo'] is invalid attribute for filtering")
	c.get("/v2.0/networks?shared=perhaps").fails(400, "InvalidInput", "perhaps")
	c.get("/v2.0/networks?mtu=big").fails(400, "InvalidInput", "big")
	c.get("/v2.0/networks?a=%zz").fails(400, wire.TypeBadRequest, "malformed")
}

func TestFiltersOfPorts(t *testing.T) {
	c := newCloud(t)
	net := c.network("n")
	sub := c.subnet(net, "10.0.0.0/24")
	six := c.subnet(net, "fd00:1::/64")
	group := c.post("/v2.0/security-groups", `{"security_group":{"name":"g"}}`)["id"].(string)
	c.port(net, `,"name":"a","mac_address":"fa:16:3e:aa:bb:01","device_id":"vm1","device_owner":"compute:nova","fixed_ips":[{"ip_address":"10.0.0.11"},{"ip_address":"fd00:1::a"}]`)
	c.port(net, `,"name":"b","device_id":"vm2","binding:host_id":"h1","security_groups":["`+group+`"],"fixed_ips":[{"ip_address":"10.0.0.12"}]`)
	c.port(net, `,"name":"c","fixed_ips":[]`)
	for query, want := range map[string]string{
		"device_id=vm1":                                                  "a",
		"device_id=vm1&device_id=vm2":                                    "a b",
		"device_owner=compute:nova":                                      "a",
		"device_id=&name=c":                                              "c",
		"mac_address=FA-16-3E-AA-BB-01":                                  "a",
		"binding:host_id=h1":                                             "b",
		"security_groups=" + group:                                       "b",
		"network_id=" + net + "&name=b":                                  "b",
		"network_id=nonsense":                                            "",
		"fixed_ips=ip_address%3D10.0.0.11":                               "a",
		"fixed_ips=ip_address=fd00:1:0::000a":                            "a",
		"fixed_ips=subnet_id=" + sub:                                     "a b",
		"fixed_ips=subnet_id=" + sub + "&fixed_ips=subnet_id=" + six:     "a b",
		"fixed_ips=subnet_id=" + six + "&fixed_ips=ip_address=10.0.0.11": "a",
		"fixed_ips=subnet_id=" + six + "&fixed_ips=ip_address=10.0.0.12": "",
		"fixed_ips=ip_address_substr=0.0.1":                              "a b",
		"fixed_ips=ip_address_substr=0.12":                               "b",
		"tenant_id=default&name=a":                                       "a",
	} {
		got := column1(c.get("/v2.0/ports?sort_key=name&sort_dir=asc&"+query).list("ports"), "name")
		if strings.TrimSpace(strings.ReplaceAll(got, "<nil>", "")) != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	c.get("/v2.0/ports?fixed_ips=10.0.0.1").fails(400, "InvalidInput", "10.0.0.1")
	c.get("/v2.0/ports?fixed_ips=ip_address=x").fails(400, "InvalidInput", "x")
	c.get("/v2.0/ports?mac_address=x").fails(400, "InvalidInput", "x")
	c.get("/v2.0/ports?allowed_address_pairs=x").fails(400, wire.TypeBadRequest, "invalid attribute for filtering")
	c.get("/v2.0/ports?ct_zone=4097").fails(400, wire.TypeBadRequest, "invalid attribute for filtering")
	if got := c.get("/v2.0/subnets?cidr=10.0.0.7/24&shared=false").list("subnets"); len(got) != 1 {
		t.Errorf("a cidr with host bits finds %d subnets", len(got))
	}
	if got := c.get("/v2.0/subnets?cidr=10.0.0.0/24&shared=true").list("subnets"); len(got) != 0 {
		t.Errorf("a subnet of a private network is shared: %v", got)
	}
	member := []string{"X-Project-Id", "default", "X-Roles", "member"}
	if got := c.get("/v2.0/ports?binding:host_id=h1", member...).list("ports"); len(got) != 0 {
		t.Errorf("a member finds out where ports are: %v", got)
	}
}

func TestFields(t *testing.T) {
	c := newCloud(t)
	id := c.network("n")
	if got := c.get("/v2.0/networks?fields=id&fields=name").text; got != `{"networks":[{"id":"`+id+`","name":"n"}]}` {
		t.Errorf("list: %s", got)
	}
	if got := c.get("/v2.0/networks/" + id + "?fields=name").text; got != `{"network":{"name":"n"}}` {
		t.Errorf("show: %s", got)
	}
	if got := c.get("/v2.0/networks?fields=nothing").text; got != `{"networks":[{}]}` {
		t.Errorf("unknown field: %s", got)
	}
	page := c.get("/v2.0/networks?fields=name&limit=1").text
	if !strings.Contains(page, "marker="+id) || strings.Contains(page, `"id"`) {
		t.Errorf("the links carry the marker, the rows do not: %s", page)
	}
}

func TestSorting(t *testing.T) {
	c := newCloud(t)
	for _, n := range []string{"b/1300", "a/1400", "c/1300"} {
		name, mtu, _ := strings.Cut(n, "/")
		c.post("/v2.0/networks", fmt.Sprintf(`{"network":{"name":%q,"mtu":%s}}`, name, mtu))
	}
	for query, want := range map[string]string{
		"sort_key=name&sort_dir=asc":                                 "a b c",
		"sort_key=name&sort_dir=desc":                                "c b a",
		"sort_key=mtu&sort_dir=asc&sort_key=name&sort_dir=desc":      "c b a",
		"sort_key=mtu&sort_dir=desc&sort_key=name&sort_dir=asc":      "a b c",
		"sort_key=tenant_id&sort_dir=asc&sort_key=name&sort_dir=asc": "a b c",
	} {
		if got := column1(c.get("/v2.0/networks?"+query).list("networks"), "name"); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	c.get("/v2.0/networks?sort_key=shared&sort_dir=asc").fails(400, wire.TypeBadRequest, "['shared'] is invalid attribute for sort_keys")
	c.get("/v2.0/networks?sort_key=name").fails(400, wire.TypeBadRequest, "The number of sort_keys and sort_dirs must be same")
	c.get("/v2.0/networks?sort_key=name&sort_dir=up").fails(400, wire.TypeBadRequest, "sort_dir")
}

// walk follows links of one relation until there is none or a page is empty.
func walk(c *cloud, path, rel string) []string {
	var pages []string
	for path != "" && len(pages) < 20 {
		a := c.get(path).want(200)
		pages = append(pages, column1(a.list("networks"), "name"))
		if len(a.list("networks")) == 0 {
			break
		}
		path = ""
		links, _ := a.json()["networks_links"].([]any)
		for _, l := range links {
			if l.(map[string]any)["rel"] == rel {
				u, err := url.Parse(l.(map[string]any)["href"].(string))
				if err != nil || u.Host != "example.com" {
					c.t.Fatalf("link %v: %v", l, err)
				}
				path = u.RequestURI()
			}
		}
	}
	return pages
}

func TestPages(t *testing.T) {
	c := newCloud(t)
	for _, n := range []string{"d", "a", "e", "b", "c", "f"} {
		c.network(n)
	}
	sorted := "/v2.0/networks?sort_key=name&sort_dir=asc"
	if got := fmt.Sprintf("%q", walk(c, sorted+"&limit=4", "next")); got != `["a b c d" "e f"]` {
		t.Errorf("forward by 4: %s", got)
	}
	if got := fmt.Sprintf("%q", walk(c, sorted+"&limit=3", "next")); got != `["a b c" "d e f" ""]` {
		t.Errorf("forward by 3, the full last page has a next: %s", got)
	}
	if got := fmt.Sprintf("%q", walk(c, sorted+"&limit=4&page_reverse=TRUE", "previous")); got != `["c d e f" "a b"]` {
		t.Errorf("backward by 4: %s", got)
	}
	if got := fmt.Sprintf("%q", walk(c, "/v2.0/networks?sort_key=name&sort_dir=desc&limit=5", "next")); got != `["f e d c b" "a"]` {
		t.Errorf("descending: %s", got)
	}
	all := 0
	for _, page := range walk(c, "/v2.0/networks?limit=2", "next") {
		all += len(strings.Fields(page))
	}
	if all != 6 {
		t.Errorf("by id: %d rows", all)
	}
	if got := c.get("/v2.0/networks?limit=0").json(); got["networks_links"] != nil || len(got["networks"].([]any)) != 6 {
		t.Errorf("limit 0: %v", got)
	}
	first := c.get(sorted + "&limit=2").json()["networks_links"].([]any)
	if len(first) != 2 || !strings.Contains(first[1].(map[string]any)["href"].(string), "page_reverse=True") {
		t.Errorf("links %v", first)
	}
	back := c.get(sorted + "&limit=7&page_reverse=true").json()["networks_links"].([]any)
	if len(back) != 1 || back[0].(map[string]any)["rel"] != "next" || strings.Contains(back[0].(map[string]any)["href"].(string), "page_reverse") {
		t.Errorf("links of a short page backward %v", back)
	}
	last := c.get(sorted + "&limit=7").json()["networks_links"].([]any)
	if len(last) != 1 || last[0].(map[string]any)["rel"] != "previous" {
		t.Errorf("links of a short page %v", last)
	}
	c.get("/v2.0/networks?limit=-1").fails(400, "BadRequest", "Limit must be an integer 0 or greater and not '-1'")
	c.get("/v2.0/networks?limit=x").fails(400, "BadRequest", "not 'x'")
	c.get("/v2.0/networks?marker=nowhere").fails(404, "NetworkNotFound", "nowhere")
	capped := openCloud(t, memory(), Options{MaxPage: 2})
	for range 3 {
		capped.network("x")
	}
	if got := capped.get("/v2.0/networks").json(); len(got["networks"].([]any)) != 2 || got["networks_links"] == nil {
		t.Errorf("pagination_max_limit is not kept: %v", got)
	}
}
