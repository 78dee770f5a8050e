// Package hostile sends the API what an attacker sends, and looks at what every
// host would do about what was accepted. It has tests only.
package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/api"
	"neutrino/host/realtest"
	"neutrino/intent"
	"neutrino/plan"
	"neutrino/store"
	"neutrino/store/storetest"
	"neutrino/view"
)

func TestMain(m *testing.M) { os.Exit(realtest.Main(m)) }

// The projects. They look like Keystone's ids.
const (
	mine   = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a01"
	theirs = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a02"
)

// caller is who sends a request.
type caller struct{ name, roles, project string }

func admin() caller    { return caller{"admin", "admin,manager,member,reader", mine} }
func member() caller   { return caller{"member", "member,reader", mine} }
func stranger() caller { return caller{"stranger", "member,reader", theirs} }

// The hosts: one runs instances, the other the network's services.
const (
	compute = "compute1"
	network = "net1"
)

// world is a server on a store in memory, with two hosts registered.
type world struct {
	t   testing.TB
	db  *store.DB
	svc *intent.Service
	h   http.Handler
	log bytes.Buffer // errors only
	ids map[string]string
	n   int
}

func newWorld(t testing.TB, change ...func(*intent.Config)) *world {
	t.Helper()
	db := storetest.Open(t)
	config := intent.DefaultConfig()
	for typ := range config.TunnelRanges {
		config.TunnelRanges[typ] = []intent.Range{{Min: 1, Max: 100_000}}
	}
	config.Quotas = nil
	for _, c := range change {
		c(&config)
	}
	w := &world{t: t, db: db, svc: intent.New(db, config), ids: map[string]string{}}
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelError}))
	var err error
	if w.h, err = api.New(w.svc, db, api.Options{Log: log}); err != nil {
		t.Fatal(err)
	}
	w.register()
	return w
}

// register makes the two hosts known, as the feed does.
func (w *world) register() {
	services := map[string][]string{
		compute: {neutrino.AgentOVS},
		network: {neutrino.AgentOVS, neutrino.AgentDHCP, neutrino.AgentL3},
	}
	for i, name := range []string{compute, network} {
		err := w.svc.Do(context.Background(), intent.Caller{Admin: true}, func(tx *intent.Tx) error {
			return intent.Register(tx, neutrino.Registration{
				Host: name, StartedAt: time.Now(), TunnelIP: tunnelOf(i), TunnelTypes: []string{"gre", "vxlan", "geneve"},
				BridgeMappings: map[string]string{"physnet1": "br-ex"}, Services: services[name],
			})
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func tunnelOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}) }

// answer is what came back.
type answer struct {
	status int
	text   string
}

// fault is the body of a failure.
type fault struct {
	NeutronError struct{ Type, Message, Detail string }
}

func (a answer) fault() (f fault, err error) { return f, json.Unmarshal([]byte(a.text), &f) }

// one is the object inside {"<name>": {…}}.
func (a answer) one() map[string]any {
	var body map[string]map[string]any
	if json.Unmarshal([]byte(a.text), &body) != nil {
		return nil
	}
	for _, v := range body {
		return v
	}
	return nil
}

// send sends a request with its path as it is, however odd.
func (w *world) send(c caller, method, path, body string) answer {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.URL = parsed(path)
	r.RequestURI = path
	r.Header.Set("X-Roles", c.roles)
	r.Header.Set("X-Project-Id", c.project)
	r.Header.Set("X-User-Id", "u"+c.project)
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	return answer{rec.Code, rec.Body.String()}
}

// checked is send with the property that every answer has: it is no failure of
// the server, and what failed says so in the form of all failures.
func (w *world) checked(c caller, method, path, body string) answer {
	a := w.send(c, method, path, body)
	if problem := w.wrong(a); problem != "" {
		w.t.Errorf("%s: %s %.200s %.300q: %s", c.name, method, path, body, problem)
	}
	return a
}

func (w *world) wrong(a answer) string {
	// That a network type has no range left is 503 (api.md section 3.1).
	if a.status == http.StatusServiceUnavailable && strings.Contains(a.text, `"NoNetworkAvailable"`) {
		w.log.Reset()
		return ""
	}
	if w.log.Len() > 0 {
		said := w.log.String()
		w.log.Reset()
		return fmt.Sprintf("%d, and the log says %.2000s", a.status, said)
	}
	// That quotas are not created is 501 (api.md section 2.27).
	if a.status >= 500 && a.status != http.StatusNotImplemented {
		return fmt.Sprintf("%d %.300s", a.status, a.text)
	}
	if len(a.text) > maxAnswer {
		return fmt.Sprintf("%d with %d bytes", a.status, len(a.text))
	}
	if a.status < 400 {
		if a.text != "" && !json.Valid([]byte(a.text)) {
			return fmt.Sprintf("%d, not JSON: %.300q", a.status, a.text)
		}
		return ""
	}
	f, err := a.fault()
	if err != nil || f.NeutronError.Type == "" || f.NeutronError.Message == "" {
		return fmt.Sprintf("%d without the form of a failure: %.300q", a.status, a.text)
	}
	return ""
}

// maxAnswer is the longest answer that any request here should get, bytes: a
// refused value of a megabyte is not sent back.
const maxAnswer = 512 << 10

// must sends a request that has to succeed.
func (w *world) must(c caller, method, path, body string) answer {
	w.t.Helper()
	a := w.send(c, method, path, body)
	if a.status >= 300 {
		w.t.Fatalf("%s: %s %s %s: %d %s", c.name, method, path, body, a.status, a.text)
	}
	return a
}

// make makes an object of the member's project and remembers its id.
func (w *world) make(name, path, one, fields string) map[string]any {
	w.t.Helper()
	made := w.must(admin(), "POST", path, fmt.Sprintf(`{%q:{%s}}`, one, fields)).one()
	w.ids[name], _ = made["id"].(string)
	return made
}

// hosts are the plans of both hosts.
func (w *world) hosts() map[string]*planned {
	out := map[string]*planned{}
	s := w.db.Snapshot()
	for i, name := range []string{compute, network} {
		v := view.For(s, name)
		out[name] = &planned{view: v, state: plan.Host(v, settings(i))}
	}
	return out
}

func settings(i int) plan.Config {
	return plan.Config{
		IntegrationBridge: "br-int", TunnelBridge: "br-tun", DatapathType: "system", LocalIP: tunnelOf(i),
		WrapPrefix: "neutron", StatePath: stateDir, BridgeMappings: map[string]string{"physnet1": "br-ex"},
		DHCP:     plan.DHCPConfig{LeaseDuration: 86400, DNSDomain: "openstacklocal"},
		Metadata: true, IsolatedMetadata: true,
	}
}

const stateDir = "/var/lib/neutron"

// furnish makes the cloud that the requests are about: a network with both
// families, an instance on the compute host in a group that names itself, a
// router with a gateway, an address and a forwarding of the outside, and what
// stands on its own.
func (w *world) furnish() {
	own := `"project_id":"` + mine + `"`
	w.make("net", "/v2.0/networks", "network", own)
	w.make("subnet", "/v2.0/subnets", "subnet", own+`,"ip_version":4,"cidr":"10.1.0.0/16","network_id":"`+w.ids["net"]+`"`)
	w.make("subnet6", "/v2.0/subnets", "subnet", own+`,"ip_version":6,"cidr":"2001:db8:1::/64","ipv6_address_mode":"dhcpv6-stateful",
		"ipv6_ra_mode":"dhcpv6-stateful","network_id":"`+w.ids["net"]+`"`)
	w.make("external", "/v2.0/networks", "network", `"router:external":true,"provider:network_type":"flat","provider:physical_network":"physnet1"`)
	w.make("outside", "/v2.0/subnets", "subnet", `"ip_version":4,"cidr":"198.51.0.0/16","network_id":"`+w.ids["external"]+`"`)
	w.make("group", "/v2.0/security-groups", "security_group", own+`,"name":"g"`)
	for _, family := range []string{"IPv4", "IPv6"} {
		w.make("rule", "/v2.0/security-group-rules", "security_group_rule", fmt.Sprintf(
			`"security_group_id":%q,"direction":"ingress","ethertype":%q,"remote_group_id":%q`, w.ids["group"], family, w.ids["group"]))
	}
	w.instance("vm")
	w.make("router", "/v2.0/routers", "router", own+`,"external_gateway_info":{"network_id":"`+w.ids["external"]+`"}`)
	for _, s := range []string{"subnet", "subnet6"} {
		w.must(admin(), "PUT", "/v2.0/routers/"+w.ids["router"]+"/add_router_interface", `{"subnet_id":"`+w.ids[s]+`"}`)
	}
	w.make("floating", "/v2.0/floatingips", "floatingip", own+`,"floating_network_id":"`+w.ids["external"]+`"`)
	w.make("scope", "/v2.0/address-scopes", "address_scope", own+`,"name":"s","ip_version":4`)
	w.make("pool", "/v2.0/subnetpools", "subnetpool", own+`,"name":"p","prefixes":["172.16.0.0/12"],"address_scope_id":"`+w.ids["scope"]+`"`)
}

// instance makes a port that is bound to the compute host.
func (w *world) instance(name string) map[string]any {
	return w.make(name, "/v2.0/ports", "port", fmt.Sprintf(
		`"project_id":%q,"network_id":%q,"security_groups":[%q],"device_owner":"compute:nova","device_id":"i-%s","binding:host_id":%q`,
		mine, w.ids["net"], w.ids["group"], name, compute))
}

// address is the first address of an object of type port.
func address(port map[string]any) string {
	ips := port["fixed_ips"].([]any)
	return ips[0].(map[string]any)["ip_address"].(string)
}
