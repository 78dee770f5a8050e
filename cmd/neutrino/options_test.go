package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"neutrino/agent"
	"neutrino/config"
)

func TestMappingsOfPhysicalNetworksAreReadAndRefused(t *testing.T) {
	got, err := parseMappings(" public:br-ex, lab:br-lab ,")
	if err != nil || fmt.Sprint(got) != "map[lab:br-lab public:br-ex]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"public", "public:", ":br-ex", "a:b:c", "a:x,a:y", "a:x,b:x"} {
		if _, err := parseMappings(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
	vlans, err := parseVLANs("a:1:2,b,a:10:4094")
	if err != nil || fmt.Sprint(vlans) != "map[a:[{1 2} {10 4094}] b:[]]" {
		t.Errorf("%v, %v", vlans, err)
	}
	for _, s := range []string{"a:1", "a:2:1", "a:1:4095", ":1:2"} {
		if _, err := parseVLANs(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
	if m, err := parseMTUs("a:9000, b:1500"); err != nil || m["a"] != 9000 || m["b"] != 1500 {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := parseMTUs("a:tiny"); err == nil {
		t.Error("a:tiny is taken")
	}
}

// load reads a configuration file as `neutrino agent` does.
func load(t *testing.T, text string) *config.Values {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.ini")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, set := &cobra.Command{}, &config.Set{Options: append(agentOptions[:len(agentOptions):len(agentOptions)], metadataOptions...)}
	set.Flags(cmd)
	if err := cmd.ParseFlags([]string{"--config-file", file}); err != nil {
		t.Fatal(err)
	}
	v, err := set.Load(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAHostWithAllServicesIsRegisteredAndPlanned(t *testing.T) {
	v := load(t, `[DEFAULT]
host = net1
enable_isolated_metadata = true
nova_metadata_host = 192.0.2.7
metadata_proxy_shared_secret = hush
[metadata_rate_limiting]
rate_limit_enabled = true
base_query_rate_limit = 20
[ovs]
local_ip = 192.0.2.1
bridge_mappings = public:br-ex
[neutrino]
services = openvswitch, dhcp, l3, metadata
`)
	reg, err := registration(v)
	if err != nil || strings.Join(reg.Services, ", ") != "Open vSwitch agent, DHCP agent, L3 agent, Metadata agent" || reg.BridgeMappings["public"] != "br-ex" {
		t.Errorf("%+v, %v", reg, err)
	}
	if c := planConfig(v, reg); !c.Metadata || !c.IsolatedMetadata || c.BridgeMappings["public"] != "br-ex" {
		t.Errorf("%+v", c)
	}
	m, err := metadataService(v)
	if err != nil || m.Nova == nil || m.Nova.Address != "192.0.2.7:8775" || m.Nova.Protocol != "http" || m.Nova.Secret != "hush" {
		t.Errorf("%+v, %v", m, err)
	}
	if b := m.Limits.Base; b.Requests != 20 || b.Window != 10*time.Second {
		t.Errorf("%+v", b)
	}
	alone := load(t, "[ovs]\nlocal_ip = 192.0.2.1\n")
	if m, err := metadataService(alone); err != nil || m.Nova != nil || m.Limits.Base.Requests != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if reg, _ := registration(alone); planConfig(alone, reg).Metadata {
		t.Error("metadata is served though no service says so")
	}
}

func TestStatusSaysWhatWaitsAndWhatFails(t *testing.T) {
	var out bytes.Buffer
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	printStatus(&out, agent.Status{Host: "net1", Connected: true,
		Pending:  []agent.Trouble{{Object: "port/a", Reason: "interface is not there yet", Since: at}},
		Errors:   []agent.Trouble{{Object: "router/r", Reason: "no bridge br-ex", Since: at}},
		Metering: []agent.Metered{{Label: "l", Router: "r", Packets: 7, Bytes: 700}}, MeteringProblem: "no iptables-save"})
	for _, want := range []string{"metered   metering-label/l on router/r: 7 packets, 700 bytes", "metered   not all could be read: no iptables-save",
		"waiting   port/a since 2026-01-02 03:04:05: interface is not there yet", "failing   router/r since 2026-01-02 03:04:05: no bridge br-ex"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestTheKeyOfTokensOutlivesTheAgent(t *testing.T) {
	dir := t.TempDir()
	first := tokenKey(dir)
	info, err := os.Stat(filepath.Join(dir, "metadata-token.key"))
	if err != nil || info.Mode().Perm() != 0o600 || len(first) != tokenKeyLen {
		t.Fatalf("%d bytes, %v, %v", len(first), info, err)
	}
	if !bytes.Equal(tokenKey(dir), first) {
		t.Error("it is another one after a restart")
	}
	if key := tokenKey(filepath.Join(dir, "missing")); len(key) != tokenKeyLen {
		t.Error("a disk that cannot be written keeps the agent from having a key")
	}
}
