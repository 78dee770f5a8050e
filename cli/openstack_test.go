package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// keys are the keys of the first object in a JSON document, in their order, and
// the kinds of their values.
func keys(t *testing.T, doc string) (names []string, kinds map[string]string) {
	t.Helper()
	v, err := parseJSON([]byte(doc))
	if err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
	if list, ok := v.([]any); ok {
		if len(list) == 0 {
			return nil, nil
		}
		v = list[0]
	}
	kinds = map[string]string{}
	for _, m := range v.(object) {
		names = append(names, m.key)
		switch m.value.(type) {
		case nil:
			kinds[m.key] = "null"
		case bool:
			kinds[m.key] = "bool"
		case json.Number:
			kinds[m.key] = "number"
		case []any:
			kinds[m.key] = "list"
		case object:
			kinds[m.key] = "object"
		default:
			kinds[m.key] = "string"
		}
	}
	return names, kinds
}

// The same words and options give the same columns and keys as the real client
// gives against the same server. One run of it takes seconds.
func TestColumnsAndKeysAreThoseOfTheRealClient(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short: the output is not compared with the real openstack client")
	}
	if _, err := exec.LookPath("openstack"); err != nil {
		t.Skip("SKIPPED: there is no openstack client on this machine to compare the output with")
	}
	c := web(t)
	c.hosts()
	c.run("neutrino address scope create inside")
	c.run("neutrino subnet pool create p4 --pool-prefix 10.20.0.0/16 --address-scope inside --default-quota 9 --tag gold")
	policy := c.value("neutrino network rbac create web --type network --action access_as_shared --target-project blue", "id")
	agent := c.value("neutrino network agent list --agent-type dhcp", "ID")
	c.run("neutrino network set web --tag b --tag a")
	c.run("neutrino network meter create outside")
	counted := c.value("neutrino network meter rule create outside --remote-ip-prefix 198.51.100.0/24", "id")
	address := c.value("neutrino floating ip create public --port web-1", "floating_ip_address")
	rule := c.value("neutrino security group rule create www --protocol tcp --dst-port 80", "id")
	for _, line := range []string{
		"network list --long", "network show web", "subnet list --long", "subnet show web-v4", "port list --long", "port show web-1",
		"router list --long", "router show r1", "floating ip list --long", "floating ip show " + address,
		"security group list", "security group show www", "security group rule list www", "security group rule show " + rule,
		"extension list --network", "extension show router", "ip availability list", "ip availability show web", "network service provider list",
		"subnet pool list --long", "subnet pool show p4", "address scope list", "address scope show inside", "network rbac list --long",
		"network rbac show " + policy, "network agent list", "network agent show " + agent, "availability zone list --network --long",
		"network meter list", "network meter show outside", "network meter rule list", "network meter rule show " + counted,
	} {
		names, kinds := keys(t, c.run("neutrino "+line+" -f json"))
		theirs, theirKinds := keys(t, realClient(t, c.url, line))
		if !slices.Equal(names, theirs) {
			t.Errorf("%s has\n%s\nthe real client has\n%s", line, strings.Join(names, ", "), strings.Join(theirs, ", "))
		}
		for name, kind := range kinds {
			// The real client of this age asks for a name that the API does not
			// know, and shows None or nothing; it writes an object as a word of Python, and
			// it makes up a location.
			known := line == "port list --long" && name == "Security Groups" ||
				line == "network meter list" && name == "Shared" || line == "network meter rule list" && name == "Excluded" || name == "port_details" || name == "location"
			if theirKinds[name] != kind && !known {
				t.Errorf("%s: %s is a %s, for the real client a %s", line, name, kind, theirKinds[name])
			}
		}
	}
}

// The same lines print the same text, to the letter.
func TestTextIsThatOfTheRealClient(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short: the output is not compared with the real openstack client")
	}
	if _, err := exec.LookPath("openstack"); err != nil {
		t.Skip("SKIPPED: there is no openstack client on this machine to compare the output with")
	}
	c := web(t)
	c.run("neutrino subnet pool create p4 --pool-prefix 10.20.0.0/16 --tag gold --tag blue")
	for _, line := range []string{
		"subnet list --long", "router show r1 -f value", "network list --sort-column Name -f csv", "port show web-1 -f yaml", "network show web",
		"subnet pool show p4", "subnet pool list --long --tags gold -f csv --quote minimal", "subnet show web-v4 -f shell --prefix s_", "security group rule list www",
		"subnet list --long --max-width 120", "port show web-1 --max-width 60", "network show web --max-width 40", "router show r1 --max-width 50",
		"security group show www --max-width 79", "network list --max-width 1", "network list --name nobody --print-empty", "network list --name nobody",
		"network show web --variable id --variable provider:network_type -f shell",
	} {
		if ours, theirs := c.run("neutrino "+line), run(t, c.url, strings.Fields(line)); ours != theirs {
			t.Errorf("%s prints\n%s\nthe real client\n%s", line, ours, theirs)
		}
	}
}

// TestOptionsAreThoseOfTheRealClient asks the real client's own parsers which
// options there are.
func TestOptionsAreThoseOfTheRealClient(t *testing.T) {
	out, err := exec.Command("/usr/bin/python3", "-W", "ignore", "-c", optionsOfTheRealClient).Output()
	if err != nil {
		t.Skipf("SKIPPED: there is no openstack client on this machine to compare the options with: %v", err)
	}
	var theirs map[string][]string
	if err := json.Unmarshal(out, &theirs); err != nil || len(theirs) < 50 {
		t.Fatalf("%v: %d commands", err, len(theirs))
	}
	// Services that are not here.
	absent := strings.Fields(`--help --compute --volume --identity --class --volume-type
		--backup-gigabytes --backups --cores --fixed-ips --gigabytes --injected-file-size --injected-files --injected-path-size --instances
		--key-pairs --per-volume-gigabytes --properties --ram --server-group-members --server-groups --snapshots --volumes --qos-policy --no-qos-policy`)
	services := regexp.MustCompile(`qos|flavor|segment|conntrack|local ip|address group|auto allocated|floating ip pool`)
	c := &cloud{t: t, source: from(nil)}
	for words, options := range theirs {
		if services.MatchString(words) {
			continue
		}
		cmd, rest, err := c.root("neutrino").Find(strings.Fields(words))
		if err != nil || len(rest) > 0 {
			t.Errorf("there is no command %s", words)
			continue
		}
		for _, o := range options {
			if cmd.Flags().Lookup(strings.TrimPrefix(o, "--")) == nil && !slices.Contains(absent, o) {
				t.Errorf("%s has no option %s", words, o)
			}
		}
	}
}

const optionsOfTheRealClient = `
import argparse, importlib.metadata, json
from unittest import mock
found = {}
for group in ("openstack.network.v2", "openstack.common"):
    for point in importlib.metadata.entry_points(group=group):
        words = point.name.replace("_", " ")
        if group == "openstack.common" and words.split()[0] not in ("quota", "extension", "availability"):
            continue
        app = mock.MagicMock()
        app.client_manager.is_network_endpoint_enabled.return_value = True
        app.client_manager.is_compute_endpoint_enabled.return_value = False
        actions = point.load()(app, None).get_parser("x")._actions
        found[words] = [o for a in actions for o in a.option_strings if a.help != argparse.SUPPRESS and o.startswith("--")]
print(json.dumps(found))
`

func realClient(t *testing.T, url, line string) string {
	t.Helper()
	return run(t, url, append(strings.Fields(line), "-f", "json"))
}

func run(t *testing.T, url string, words []string) string {
	t.Helper()
	line := strings.Join(words, " ")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "openstack", words...)
	cmd.Env = append(os.Environ(), "OS_AUTH_TYPE=none", "OS_ENDPOINT="+url, "PYTHONWARNINGS=ignore", "OS_CLOUD=")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("openstack %s: %v\n%s", line, err, errs.String())
	}
	return out.String()
}
