package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"neutrino"
	"neutrino/config"
	"neutrino/intent"
)

// serverFile reads a configuration file as `neutrino server` does.
func serverFile(t *testing.T, text string) (*config.Values, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "neutron.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, set := &cobra.Command{}, &config.Set{Options: slices.Concat(serverOptions, quotaOptions(), identityOptions()), Fixed: serverFixed()}
	set.Flags(cmd)
	if err := cmd.ParseFlags([]string{"--config-file", file}); err != nil {
		t.Fatal(err)
	}
	return set.Load(cmd)
}

// What Neutron's options ask for is done, or refused with the remedy, or warned of.
func TestWhatOperatorsSetIsDoneOrRefusedOrWarnedOf(t *testing.T) {
	const token = "[keystone_authtoken]\n"
	for text, want := range map[string]string{
		// done, without a word
		"[DEFAULT]\ncore_plugin = ml2\nservice_plugins = router,metering\nl3_ha = False\nallow_overlapping_ips = True\n":                      "",
		"[ml2]\ntype_drivers = local,flat,vlan,vxlan\nproject_network_types = vxlan\nmechanism_drivers = openvswitch,l2population\n":          "",
		"[ml2]\nextension_drivers = port_security,dns\n[securitygroup]\nenable_security_group = true\nfirewall_driver = iptables_hybrid\n":    "",
		token + "auth_type = password\nwww_authenticate_uri = http://a:5000\nservice_token_roles_required = true\nuser_domain_id = default\n": "",
		token + "auth_type = v3password\ninterface = internal\nregion_name = RegionOne\ncafile = /x\ninsecure = true\nmemcached_servers =\n":  "",
		// refused
		"[DEFAULT]\ncore_plugin = neutron.plugins.other\n": "!core_plugin",
		"[DEFAULT]\nl3_ha = true\n":                        "!l3_ha: leave it out or set it to false",
		"[DEFAULT]\nrouter_distributed = yes\n":            "!router_distributed: one host",
		"[DEFAULT]\nvlan_transparent = true\n":             "!vlan_transparent: VLAN tags",
		"[DEFAULT]\nuse_ssl = true\n":                      "!use_ssl: proxy",
		"[ml2]\nmechanism_drivers = ovn\n":                 "!mechanism_drivers: add openvswitch",
		"[ml2]\ntype_drivers = flat,stt\n":                 "!type_drivers: stt",
		"[ml2]\nexternal_network_type = flat\n":            "!external_network_type: without being named",
		"[oslo_policy]\nenforce_new_defaults = false\n":    "!enforce_new_defaults: policy_file",
		"[securitygroup]\nenable_security_group = false\n": "!enable_security_group: port_security_enabled",
		"[securitygroup]\nfirewall_driver = openvswitch\n": "!firewall_driver: iptables_hybrid",
		token + "auth_type = v3oidcpassword\n":             "!auth_type: write password, and set username",
		token + "auth_plugin = v3token\n":                  "!auth_type: write password",
		token + "auth_section = elsewhere\n":               "!auth_section: [keystone_authtoken] itself",
		token + "interface = publicURL\n":                  "!interface: internal",
		token + "delay_auth_decision = true\n":             "!delay_auth_decision: always refused",
		token + "certfile = /etc/ssl/me.pem\n":             "!certfile: no certificate",
		token + "auth_version = v2.0\n":                    "!auth_version: v3",
		// warned of
		"[DEFAULT]\nservice_plugins = router,qos,trunk\n":         "service_plugins: qos, trunk",
		"[ml2]\nmechanism_drivers = openvswitch,sriovnicswitch\n": "mechanism_drivers: sriovnicswitch",
		"[ml2]\nextension_drivers = port_security,qos\n":          "extension_drivers: qos",
		"[DEFAULT]\ntransport_url = rabbit://u:hush@h\n":          "transport_url: feed_listen",
		"[DEFAULT]\nallow_automatic_l3agent_failover = false\n":   "allow_automatic_l3agent_failover: always move",
		"[DEFAULT]\nexternal_dns_driver = designate\n":            "external_dns_driver: DNS of their network",
		"[ml2_type_geneve]\nmax_header_size = 38\n":               "max_header_size: 30 bytes",
		token + "memcached_servers = controller:11211\n":          "memcached_servers: server's memory",
		token + "auth_uri = http://a:5000\n":                      "auth_uri: www_authenticate_uri",
		"[placement]\nauth_url = http://a\n":                      "[placement] auth_url: not used here",
	} {
		v, err := serverFile(t, text)
		refused, isRefused := strings.CutPrefix(want, "!")
		name, part, _ := strings.Cut(refused, ": ")
		switch {
		case isRefused:
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want an error about %s with %q", text, err, name, part)
			}
		case err != nil:
			t.Errorf("%s: %v", text, err)
		case want == "" && len(v.Warnings) > 0:
			t.Errorf("%s: warned of %q", text, v.Warnings)
		case want != "":
			got := strings.Join(v.Warnings, "; ")
			if !strings.Contains(got, name) || !strings.Contains(got, part) || strings.Contains(got, "hush") {
				t.Errorf("%s: warned of %q, want %s with %q", text, got, name, part)
			}
		}
	}
}

func TestTypesOfNetworksAreThoseOfTypeDrivers(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "[gre vxlan geneve]",
		"[ml2]\ntype_drivers = vxlan, flat\n": "[vxlan]",
		"[ml2]\ntype_drivers = flat\n":        "[]",
		"[ml2]\ntype_drivers = vxlan\nproject_network_types = vxlan, gre\n": "!gre is not one of type_drivers",
		"[ml2]\ntype_drivers = vxlan\nexternal_network_type = vlan\n":       "!vlan is not one of type_drivers",
	} {
		v, err := serverFile(t, text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		c := intent.DefaultConfig()
		err = chooseTypes(v, &c)
		if refused, ok := strings.CutPrefix(want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), refused) {
				t.Errorf("%s: %v, want %q", text, err, refused)
			}
			continue
		}
		if got := strings.Trim(strings.Join(names(c.TenantNetworkTypes), " "), " "); err != nil || "["+got+"]" != want {
			t.Errorf("%s: %q, %v, want %s", text, got, err, want)
		}
	}
}

func names(types []neutrino.NetworkType) (out []string) {
	for _, t := range types {
		out = append(out, string(t))
	}
	return out
}

// oslo.policy reads policy.yaml beside neutron.conf without being told.
func TestThePolicyBesideTheConfigurationIsRead(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	at := func(name, text, option string) error {
		v, err := serverFile(t, "[DEFAULT]\nstate_path = "+t.TempDir()+"\n"+option)
		if err != nil {
			t.Fatal(err)
		}
		if name != "" {
			beside, _ := v.Beside("neutron.conf")
			file := filepath.Join(filepath.Dir(beside), name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err = policies(v, log)
		return err
	}
	const broken = `"create_network": "role:admin and ("`
	for _, row := range []struct {
		name, text, option string
		wrong              string
	}{
		{"", "", "", ""},
		{"policy.yaml", `"create_network": "role:admin"`, "", ""},
		{"policy.yaml", broken, "", "create_network"},
		{"policy.json", "{" + broken + "}", "", "create_network"},
		{"other.yaml", broken, "", ""},
		{"other.yaml", broken, "[oslo_policy]\npolicy_file = other.yaml\n", "create_network"},
		{"policy.yaml", broken, "[oslo_policy]\npolicy_file = other.yaml\n", ""},
		{"policy.yaml", broken, "[oslo_policy]\npolicy_file = /missing/policy.json\n", ""},
		{"policy.d/site.yaml", broken, "", "create_network"},
		{"a.d/site.yaml", broken, "[oslo_policy]\npolicy_dirs = a.d\npolicy_dirs = b.d\n", "create_network"},
		{"b.d/site.yaml", broken, "[oslo_policy]\npolicy_dirs = a.d\npolicy_dirs = b.d\n", "create_network"},
	} {
		err := at(row.name, row.text, row.option)
		if row.wrong == "" && err != nil || row.wrong != "" && (err == nil || !strings.Contains(err.Error(), row.wrong)) {
			t.Errorf("%+v: %v", row, err)
		}
	}
}
