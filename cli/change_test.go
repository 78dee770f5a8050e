package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestSetAddsAndUnsetTakesAway(t *testing.T) {
	c := web(t)
	c.run("neutrino port set web-1 --name web-2 --description 'the second' --disable --allowed-address ip-address=10.5.0.0/24 --fixed-ip subnet=web-v4,ip-address=10.1.0.8")
	show := func(column, want string) {
		t.Helper()
		if got := strings.TrimSpace(stable(c.run("neutrino port show web-2 -f json --noindent -c " + column))); !strings.Contains(got, want) {
			t.Errorf("%s is %s, want %s", column, got, want)
		}
	}
	show("description", `"the second"`)
	show("admin_state_up", "false")
	show("fixed_ips", `"ip_address":"10.1.0.7"},{`)
	c.run("neutrino port unset web-2 --fixed-ip ip-address=10.1.0.7 --allowed-address ip-address=10.5.0.0/24 --security-group www")
	show("fixed_ips", `"ip_address":"10.1.0.8"}]`)
	show("allowed_address_pairs", ":[]")
	show("security_group_ids", ":[]")
	c.run("neutrino port set web-2 --no-fixed-ip --fixed-ip ip-address=10.1.0.9 --security-group www")
	show("fixed_ips", `"ip_address":"10.1.0.9"}]`)
	c.run("neutrino port set web-2 --no-security-group --disable-port-security")
	show("port_security_enabled", "false")
	c.refused("neutrino port unset web-2 --fixed-ip ip-address=10.1.0.200", "there is no such element: --fixed-ip ip-address=10.1.0.200")

	c.run("neutrino subnet set web-v4 --dns-nameserver 192.0.2.54 --no-host-route")
	c.run("neutrino subnet create alone --network web --subnet-range 10.2.0.0/24")
	c.run("neutrino subnet set alone --gateway none")
	if got := c.value("neutrino subnet show web-v4", "dns_nameservers"); got != "['192.0.2.54', '192.0.2.53']" {
		t.Errorf("name servers: %s", got)
	}
	if got := c.value("neutrino subnet show alone", "gateway_ip"); got != "None" {
		t.Errorf("gateway: %s", got)
	}
	c.run("neutrino subnet unset web-v4 --dns-nameserver 192.0.2.53")
	if got := c.value("neutrino subnet show web-v4", "dns_nameservers"); got != "['192.0.2.54']" {
		t.Errorf("name servers: %s", got)
	}
}

func TestListsAreFiltered(t *testing.T) {
	c := web(t)
	for line, want := range map[string]string{
		"neutrino network list --external":                                "public",
		"neutrino network list --internal":                                "web",
		"neutrino network list --project nobody":                          "",
		"neutrino subnet list --network web":                              "web-v4",
		"neutrino subnet list --no-dhcp":                                  "public-v4",
		"neutrino port list --network web --device-owner ''":              "web-1",
		"neutrino port list --fixed-ip subnet=web-v4,ip-address=10.1.0.7": "web-1",
		"neutrino port list --security-group www":                         "web-1",
		"neutrino port list --host elsewhere":                             "",
		"neutrino router list --enable":                                   "r1",
		"neutrino router list --disable":                                  "",
	} {
		if got := strings.TrimSpace(c.run(line + " -f value -c Name")); got != want {
			t.Errorf("%s prints %q, want %q", line, got, want)
		}
	}
	if got := c.run("neutrino port list --router r1 -f value -c 'Fixed IP Addresses'"); !strings.Contains(got, "10.1.0.1'") {
		t.Errorf("ports of the router: %s", got)
	}
	c.refused("neutrino port list --router r1 --device-id x", "--router and --device-id exclude each other")
}

func TestARouterItsGatewayAndAFloatingIP(t *testing.T) {
	c := web(t)
	if got := c.run("neutrino router show r1 -f json -c interfaces_info -c external_gateway_info"); !strings.Contains(got, `"10.1.0.1"`) || !strings.Contains(got, `"198.51.100.7"`) {
		t.Errorf("router: %s", got)
	}
	c.run("neutrino router add route r1 --route destination=10.9.0.0/24,gateway=10.1.0.9")
	c.run("neutrino router set r1 --route destination=10.10.0.0/24,gateway=10.1.0.10")
	c.run("neutrino router unset r1 --route destination=10.9.0.0/24,gateway=10.1.0.9")
	c.prints("neutrino router show r1 -c routes", `
+--------+-------------------------------------------------+
| Field  | Value                                           |
+--------+-------------------------------------------------+
| routes | destination='10.10.0.0/24', gateway='10.1.0.10' |
+--------+-------------------------------------------------+`)
	c.run("neutrino router set r1 --no-route")
	c.refused("neutrino router set r1 --disable-snat", "need --external-gateway")
	c.run("neutrino router set r1 --external-gateway public --disable-snat")
	if got := c.value("neutrino router show r1", "external_gateway_info"); !strings.Contains(got, "'enable_snat': False") {
		t.Errorf("gateway: %s", got)
	}
	address := c.value("neutrino floating ip create public", "floating_ip_address")
	c.run("neutrino floating ip set " + address + " --port web-1 --fixed-ip-address 10.1.0.7")
	if got := c.value("neutrino floating ip list --port web-1", "Fixed IP Address"); got != "10.1.0.7" {
		t.Errorf("fixed address: %s", got)
	}
	c.run("neutrino floating ip unset " + address + " --port")
	forwarding := c.value("neutrino floating ip port forwarding create "+address+" --port web-1 --internal-ip-address 10.1.0.7 --internal-protocol-port 80 --external-protocol-port 8080 --protocol TCP", "id")
	if got := c.value("neutrino floating ip port forwarding list "+address, "External Port"); got != "8080" {
		t.Errorf("forwarding: %s", got)
	}
	c.run("neutrino floating ip port forwarding set " + address + " " + forwarding + " --external-protocol-port 8081")
	if got := c.value("neutrino floating ip port forwarding show "+address+" "+forwarding, "external_port"); got != "8081" {
		t.Errorf("forwarding: %s", got)
	}
	c.run("neutrino floating ip port forwarding set " + address + " " + forwarding + " --external-protocol-port 9000:9010 --internal-protocol-port 8000:8010")
	if got := c.value("neutrino floating ip port forwarding list "+address, "External Port Range"); got != "9000:9010" {
		t.Errorf("forwarding: %s", got)
	}
	c.run("neutrino floating ip port forwarding delete " + address + " " + forwarding)
	c.run("neutrino floating ip delete " + address)
	c.run("neutrino router remove subnet r1 web-v4")
	c.run("neutrino router unset r1 --external-gateway")
	c.run("neutrino router delete r1")
}

func TestRulesAreCompletedAsOpenstackclientDoes(t *testing.T) {
	c := web(t)
	for line, want := range map[string]string{
		"--protocol tcp --dst-port 80:81":                   "tcp IPv4 0.0.0.0/0 80:81 ingress",
		"--protocol udp --dst-port 53 --remote-ip fd00::/8": "udp IPv6 fd00::/8 53:53 ingress",
		"--protocol ICMP --icmp-type 8 --icmp-code 0":       "icmp IPv4 0.0.0.0/0 type=8:code=0 ingress",
		"--proto ipv6-icmp --egress":                        "ipv6-icmp IPv6 ::/0  egress",
		"--protocol any --remote-group www":                 "None IPv4 0.0.0.0/0  ingress",
	} {
		id := c.value("neutrino security group rule create www "+line, "id")
		out := c.run("neutrino security group rule list www -f value -c ID -c 'IP Protocol' -c Ethertype -c 'IP Range' -c 'Port Range' -c Direction")
		if !strings.Contains(out, id+" "+want+"\n") {
			t.Errorf("%s: want %s in\n%s", line, want, out)
		}
	}
	for line, words := range map[string]string{
		"--protocol tcp --dst-port 81:80":           "the first port is behind the last",
		"--protocol tcp --dst-port http":            "the form is a port or first:last",
		"--protocol tcp --icmp-type 8":              "need --protocol icmp",
		"--protocol icmp --icmp-code 0":             "--icmp-code needs --icmp-type",
		"--remote-ip 10.0.0.0/8 --remote-group www": "exclude each other",
		"--ingress --egress":                        "exclude each other",
	} {
		c.refused("neutrino security group rule create www "+line, words)
	}
}

func TestQuotasZonesAndExtensions(t *testing.T) {
	c := web(t)
	if got := c.run("neutrino quota show default -f json"); !strings.Contains(got, `"secgroup-rules":`) || !strings.Contains(got, `"project": "default"`) {
		t.Errorf("quota: %s", got)
	}
	if got := c.run("neutrino quota list --detail --project default -f value"); !strings.Contains(got, "network 2 0 ") {
		t.Errorf("detail: %s", got)
	}
	c.refused("neutrino quota set default", "say at least one limit")
	if got := c.value("neutrino extension show security-group", "alias"); got != "security-group" {
		t.Errorf("extension: %s", got)
	}
	if got := c.value("neutrino extension show 'Neutron L3 Router'", "alias"); got != "router" {
		t.Errorf("extension by name: %s", got)
	}
	c.refused("neutrino extension show nope", "No Extension found for nope")
	if got := c.run("neutrino availability zone list -f json"); got != "[]\n" {
		t.Errorf("zones: %s", got)
	}
	if got := c.value("neutrino ip availability show web", "used_ips"); got == "" || got == "None" {
		t.Errorf("availability: %q", got)
	}
}

// Tags have a path of their own, which a server may not have: this one only
// writes down what it is asked.
func TestTagsAreSetBehindTheObject(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		network := map[string]any{"id": "11111111-2222-3333-4444-555555555555", "name": "web", "tags": []string{"old"}}
		answer := map[string]any{"network": network, "networks": []any{network}, "tags": []string{}}
		json.NewEncoder(w).Encode(answer)
	}))
	defer server.Close()
	c := &cloud{t: t, source: from(map[string]string{"OS_URL": server.URL + "/v2.0/", "OS_PROJECT_ID": "blue"})}
	for line, want := range map[string]string{
		"neutrino network create web --tag new":            `{"tags":["old","new"]}`,
		"neutrino network set web --no-tag --tag new":      `{"tags":["new"]}`,
		"neutrino network unset web --tag old --tag other": `{"tags":[]}`,
		"neutrino network unset web --all-tag":             `{"tags":[]}`,
	} {
		asked = nil
		c.run(line)
		if last := asked[len(asked)-1]; last != "PUT /v2.0/networks/11111111-2222-3333-4444-555555555555/tags "+want {
			t.Errorf("%s: %s", line, strings.Join(asked, "\n"))
		}
	}
	asked = nil
	c.run("neutrino network list --any-tags a,b --not-tags c")
	if asked[0] != "GET /v2.0/networks?not-tags=c&tags-any=a%2Cb " {
		t.Errorf("filters: %s", asked[0])
	}
}

func TestNeutronSpeaksTheVerbsOfTheSeed(t *testing.T) {
	c := newCloud(t)
	for _, line := range []string{
		"neutron net-create web", "neutron subnet-create web 10.1.0.0/24 --name web-v4",
		"neutron net-create public --router:external", "neutron subnet-create public 198.51.100.0/24 --name public-v4 --disable-dhcp",
		"neutron router-create r1", "neutron security-group-create www", "neutron port-create web --name p1 --security-group www --fixed-ip ip_address=10.1.0.7",
	} {
		c.run(line)
	}
	c.prints("neutron net-list -c name -c subnets --sort-column name", `
+--------+------------------------------------------------------+
| name   | subnets                                              |
+--------+------------------------------------------------------+
| public | 00000000-0000-0000-0000-000000000001 198.51.100.0/24 |
| web    | 00000000-0000-0000-0000-000000000002 10.1.0.0/24     |
+--------+------------------------------------------------------+`)
	c.prints("neutron port-list", `
+--------------------------------------+------+-------------------+---------------------------------------------------------------------------------+
| id                                   | name | mac_address       | fixed_ips                                                                       |
+--------------------------------------+------+-------------------+---------------------------------------------------------------------------------+
| 00000000-0000-0000-0000-000000000001 | p1   | fa:16:3e:00:00:00 | {"subnet_id": "00000000-0000-0000-0000-000000000002", "ip_address": "10.1.0.7"} |
+--------------------------------------+------+-------------------+---------------------------------------------------------------------------------+`)
	for _, story := range [][2]string{
		{"neutron router-interface-add r1 web-v4", "Added interface 00000000-0000-0000-0000-000000000001 to router r1."},
		{"neutron router-interface-delete r1 subnet=web-v4", "Removed interface from router r1."},
		{"neutron router-interface-add r1 web-v4", "Added interface 00000000-0000-0000-0000-000000000001 to router r1."},
		{"neutron router-gateway-set r1 public --disable-snat", "Set gateway for router r1"},
	} {
		c.prints(story[0], story[1])
	}
	out := c.run("neutron security-group-rule-create --protocol tcp --port-range-min 22 --port-range-max 22 --direction ingress www")
	if !strings.HasPrefix(out, "Created a new security_group_rule:\n") || !strings.Contains(out, "| port_range_max        | 22 ") {
		t.Errorf("rule: %s", out)
	}
	c.prints("neutron security-group-rule-list --protocol tcp -c security_group -c port/protocol -c remote", `
+----------------+---------------+--------+
| security_group | port/protocol | remote |
+----------------+---------------+--------+
| www            | 22/tcp        | any    |
+----------------+---------------+--------+`)
	if out := c.run("neutron security-group-list"); !strings.Contains(out, "ingress, IPv4, 22/tcp ") {
		t.Errorf("groups: %s", out)
	}
	address := c.value("neutron floatingip-create public", "floating_ip_address")
	c.prints("neutron floatingip-associate "+address+" p1", "Associated floating IP "+address)
	if out := c.run("neutron floatingip-list"); !strings.Contains(out, "| 10.1.0.7         | "+address) {
		t.Errorf("floating IPs: %s", out)
	}
	c.prints("neutron floatingip-disassociate "+address, "Disassociated floating IP "+address)
	c.run("neutron floatingip-delete " + address)
	c.prints("neutron router-gateway-clear r1", "Removed gateway from router r1")
	c.prints("neutron net-update web --name www", "Updated network: web")
	c.prints("neutron security-group-rule-list --ingress --ethertype IPv6 -c remote", "+-----------------+\n| remote          |\n+-----------------+\n| default (group) |\n+-----------------+")
	c.refused("neutron net-delete www nope", "No Network found for nope")
	c.run("neutron port-delete p1")
	c.prints("neutron security-group-delete www", "Deleted security_group(s): www")
	if out := c.run("neutron quota-show --tenant-id default"); !strings.Contains(out, "| security_group_rule | ") {
		t.Errorf("quota: %s", out)
	}
	if out := c.run("neutron ext-list"); !strings.Contains(out, "| security-group ") {
		t.Errorf("extensions: %s", out)
	}
	c.run("neutron net-list --os-url " + c.url + " --os-auth-strategy noauth --os-tenant-id blue")
}
