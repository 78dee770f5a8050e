package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/feed"
)

// clientPatience is how long a server may take to start, or one command of a
// Python client to run on a busy machine.
const clientPatience = 2 * time.Minute

// TestRealClients runs the command line clients against a server built from
// the tree.
func TestRealClients(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short: the neutron and openstack clients are not run against the server")
	}
	binary := filepath.Join(t.TempDir(), "neutrino")
	if out, err := exec.Command("go", "build", "-o", binary, "neutrino/cmd/neutrino").CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	for client, walk := range map[string]func(shell){"neutron": walkNeutron, "openstack": walkOpenStack} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(client); err != nil {
				t.Skipf("SKIPPED: there is no %s client on this machine: make deps", client)
			}
			walk(shell{t, client, realServer(t, binary)})
		})
	}
}

// realServer runs the server with files of its own on a free port of loopback;
// the result is its URL.
func realServer(t *testing.T, binary string) string {
	t.Helper()
	dir := t.TempDir()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(address)
	var log bytes.Buffer
	server := exec.Command(binary, "server", "--bind-port", port, "--state-path", dir)
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(os.Interrupt)
		server.Wait()
		if t.Failed() {
			t.Logf("the server's log:\n%s", log.String())
		}
	})
	url := "http://" + address
	for deadline := time.Now().Add(clientPatience); ; time.Sleep(20 * time.Millisecond) {
		if r, err := http.Get(url); err == nil {
			r.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server does not answer")
		}
	}
	realAgent(t, "unix:"+filepath.Join(dir, "feed.sock"), url)
	return url
}

// realAgent registers a network host, as its agent does, and stays connected.
func realAgent(t *testing.T, server, url string) {
	t.Helper()
	agent, err := feed.NewClient(feed.ClientConfig{Server: server, Registration: neutrino.Registration{
		Host: "net1", TunnelIP: netip.MustParseAddr("192.0.2.1"), TunnelTypes: []string{"gre"}, DatapathType: "system",
		Bridge: "br-int", StartedAt: time.Now(), BridgeMappings: map[string]string{"physnet1": "br-ex"},
		Services: []string{neutrino.AgentOVS, neutrino.AgentDHCP, neutrino.AgentL3},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { agent.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	for deadline := time.Now().Add(clientPatience); ; time.Sleep(20 * time.Millisecond) {
		var list struct{ Agents []struct{ ID string } }
		if r, err := http.Get(url + "/v2.0/agents"); err == nil {
			json.NewDecoder(r.Body).Decode(&list)
			r.Body.Close()
		}
		if len(list.Agents) >= 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the agent is not registered: %+v", agent.State())
		}
	}
}

// shell runs one of the command line clients.
type shell struct {
	t      *testing.T
	client string
	url    string
}

// try runs one command line.
func (s shell) try(line string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), clientPatience)
	defer cancel()
	c := exec.CommandContext(ctx, s.client, strings.Fields(line)...)
	c.Env = append(os.Environ(), "OS_AUTH_TYPE=none", "OS_ENDPOINT="+s.url, "PYTHONWARNINGS=ignore", "OS_CLOUD=")
	var out, failure bytes.Buffer
	c.Stdout, c.Stderr = &out, &failure
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", s.client, line, err, failure.String())
	}
	return out.String(), nil
}

func (s shell) run(line string) string {
	s.t.Helper()
	out, err := s.try(line)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// refused runs a command that must fail with the words in its message.
func (s shell) refused(line, words string) {
	s.t.Helper()
	if out, err := s.try(line); err == nil || !strings.Contains(err.Error(), words) {
		s.t.Errorf("%s %s: want a refusal with %q, got %v %s", s.client, line, words, err, out)
	}
}

// shows runs a command and finds each of the words in its output.
func (s shell) shows(line string, words ...string) string {
	s.t.Helper()
	out := s.run(line)
	for _, w := range words {
		if !strings.Contains(out, w) {
			s.t.Errorf("%s %s: no %q in\n%s", s.client, line, w, out)
		}
	}
	return out
}

// id is the id of what a command made.
func (s shell) id(line string) string {
	s.t.Helper()
	id := strings.TrimSpace(s.run(line + " -f value -c id"))
	if i := strings.LastIndexByte(id, '\n'); i >= 0 {
		id = id[i+1:]
	}
	if !neutrino.IsUUID(id) {
		s.t.Fatalf("%s %s: no id in %q", s.client, line, id)
	}
	return id
}

// walkNeutron is the walk of the seed with its own commands.
func walkNeutron(s shell) {
	s.shows("net-create private", "private", "ACTIVE", "gre")
	s.shows("subnet-create private 10.0.0.0/24 --name inside --dns-nameserver 8.8.8.8", "10.0.0.1", "10.0.0.254", "8.8.8.8")
	s.shows("net-create public --router:external --provider:network_type flat --provider:physical_network physnet1", "True", "flat", "physnet1")
	s.run("subnet-create public 203.0.113.0/24 --name outside --disable-dhcp")
	s.shows("router-create r", "external_gateway_info", "ACTIVE")
	s.shows("router-interface-add r inside", "Added interface")
	s.shows("router-gateway-set r public", "Set gateway for router")
	s.shows("router-show r", "203.0.113.", "enable_snat")
	s.shows("router-port-list r", "10.0.0.1")
	s.shows("security-group-rule-create --protocol tcp --port-range-min 22 --port-range-max 22 --direction ingress default", "ingress", "22", "tcp")
	s.shows("security-group-rule-create --protocol icmp --direction ingress default", "icmp")
	s.shows("security-group-rule-list", "22/tcp")
	port := s.id("port-create private --name vm")
	s.shows("port-list", "vm", "10.0.0.")
	fip := s.id("floatingip-create public")
	s.shows("floatingip-associate "+fip+" "+port, "Associated")
	s.shows("floatingip-show "+fip, port, "203.0.113.", "router_id")
	s.shows("floatingip-list", fip, port)
	s.refused("router-gateway-clear r", "is required by one or more floating IPs")
	s.refused("router-interface-delete r inside", "is required by one or more floating IPs")
	s.shows("floatingip-disassociate "+fip, "Disassociated")
	s.shows("agent-list", "DHCP agent", "L3 agent", "Open vSwitch agent", "net1", ":-)")
	s.shows("l3-agent-list-hosting-router r", "net1")
	s.shows("dhcp-agent-list-hosting-net private", "net1")
	s.shows("ext-list", "ext-gw-mode", "extraroute")
	s.shows("quota-update --tenant-id default --router 1", "| router ", "| network ")
	s.refused("router-create another", "Quota exceeded for resources: ['router'].")
	s.refused("quota-update --tenant-id default --network 1", "is below what project default has already")
	s.shows("quota-list", "default")
	s.run("quota-delete --tenant-id default")
	s.shows("quota-show --tenant-id default", "security_group_rule", "500")
	s.run("tag-add --resource-type network --resource private --tag red")
	s.shows("net-list --tags red", "private")
	s.run("tag-remove --resource-type network --resource private --tag red")
	s.run("floatingip-delete " + fip)
	s.run("router-gateway-clear r")
	s.run("router-interface-delete r inside")
	s.run("router-delete r")
	s.run("port-delete vm")
	s.run("net-delete private")
	s.run("net-delete public")
}

// walkOpenStack is the same walk in today's client, and the verbs that only it
// has.
func walkOpenStack(s shell) {
	s.shows("network create private", "private", "ACTIVE")
	s.shows("subnet create inside --network private --subnet-range 10.0.0.0/24", "10.0.0.2-10.0.0.254")
	s.shows("network create public --external --provider-network-type flat --provider-physical-network physnet1", "External", "physnet1")
	s.run("subnet create outside --network public --subnet-range 203.0.113.0/24 --allocation-pool start=203.0.113.100,end=203.0.113.199 --no-dhcp")
	s.shows("router create r", "external_gateway_info")
	s.run("router add subnet r inside")
	s.run("router set r --external-gateway public --disable-snat --fixed-ip subnet=outside,ip-address=203.0.113.77")
	s.shows("router show r", "203.0.113.77", `"enable_snat": false`, "10.0.0.1")
	s.run("router set r --external-gateway public --enable-snat")
	s.run("router add route r --route destination=10.9.0.0/16,gateway=10.0.0.9")
	s.shows("router show r -c routes", "10.9.0.0/16", "10.0.0.9")
	s.run("router remove route r --route destination=10.9.0.0/16,gateway=10.0.0.9")
	s.shows("security group rule create --protocol tcp --dst-port 22 --ingress default", "22", "tcp")
	s.shows("security group list", "default")
	port := s.id("port create vm --network private")
	s.shows("port list --router r", "10.0.0.1")
	fip := s.id("floating ip create public --port vm")
	s.shows("floating ip show "+fip, port, "203.0.113.", "port_details")
	s.shows("floating ip list", "203.0.113.", port)
	s.run("floating ip unset --port " + fip)
	forwarding := s.id("floating ip port forwarding create " + fip + " --protocol tcp --port vm --internal-ip-address " + s.addressOf("vm") +
		" --internal-protocol-port 22 --external-protocol-port 2222")
	s.shows("floating ip port forwarding list "+fip, forwarding, "2222")
	s.run("floating ip port forwarding set " + fip + " " + forwarding + " --external-protocol-port 2223")
	s.shows("floating ip port forwarding show "+fip+" "+forwarding, "2223")
	s.run("floating ip port forwarding delete " + fip + " " + forwarding)
	s.walkOperator()
	s.run("floating ip delete " + fip)
	s.run("router unset --external-gateway r")
	s.run("router remove subnet r inside")
	s.run("router delete r")
	s.run("port delete vm")
	s.run("network delete private public")
}

// addressOf is the first address of a port.
func (s shell) addressOf(port string) string {
	s.t.Helper()
	var got struct {
		IPs []struct {
			Address string `json:"ip_address"`
		} `json:"fixed_ips"`
	}
	if err := json.Unmarshal([]byte(s.run("port show "+port+" -f json -c fixed_ips")), &got); err != nil || len(got.IPs) == 0 {
		s.t.Fatalf("no address of %s: %v", port, err)
	}
	return got.IPs[0].Address
}

// walkOperator goes through the verbs of those who run the cloud.
func (s shell) walkOperator() {
	s.t.Helper()
	s.run("network set private --tag red --tag blue")
	s.shows("network list --tags red,blue --not-any-tags green", "private")
	s.run("network unset private --tag red")
	s.shows("network show private -c tags", "blue")
	s.run("network set private --no-tag")
	s.shows("port create tagged --network private --tag new -c tags", "new")
	s.run("port delete tagged")
	s.shows("network agent list", "DHCP agent", "L3 agent", "Open vSwitch agent", "net1", ":-)")
	l3 := strings.TrimSpace(s.run("network agent list --agent-type l3 -f value -c ID"))
	dhcp := strings.TrimSpace(s.run("network agent list --agent-type dhcp -f value -c ID"))
	s.shows("network agent list --router r", l3)
	s.shows("network agent list --network private", dhcp)
	s.shows("router list --agent "+l3, "r")
	s.shows("network list --agent "+dhcp, "private")
	s.run("network agent remove router --l3 " + l3 + " r")
	s.run("network agent add router --l3 " + l3 + " r")
	s.run("network agent remove network --dhcp " + dhcp + " private")
	s.run("network agent add network --dhcp " + dhcp + " private")
	s.shows("network agent list --router r --long", "net1")
	s.shows("ip availability list", "private", "public")
	s.shows("ip availability show private", "10.0.0.0/24")
	s.shows("network service provider list", "single_node")
	s.shows("availability zone list --network --long", "router", "network")
	s.shows("extension list --network -c Alias", "floating-ip-port-forwarding", "l3_agent_scheduler")
	s.shows("subnet list --network public --long", "203.0.113.0/24")
	s.shows("network list --external", "public")
}
