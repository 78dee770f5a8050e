package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/spf13/cobra"
)

func TestListsLookAsInOpenstackclient(t *testing.T) {
	c := web(t)
	c.prints("neutrino network list --name web", `
+--------------------------------------+------+--------------------------------------+
| ID                                   | Name | Subnets                              |
+--------------------------------------+------+--------------------------------------+
| 00000000-0000-0000-0000-000000000001 | web  | 00000000-0000-0000-0000-000000000002 |
+--------------------------------------+------+--------------------------------------+`)
	c.prints("neutrino subnet list --long --network web -c Name -c DHCP -c 'Allocation Pools' -c 'Host Routes' -c 'IP Version' -c Gateway", `
+--------+------+---------------------+-----------------------------------------------+------------+----------+
| Name   | DHCP | Allocation Pools    | Host Routes                                   | IP Version | Gateway  |
+--------+------+---------------------+-----------------------------------------------+------------+----------+
| web-v4 | True | 10.1.0.2-10.1.0.254 | destination='10.8.0.0/24', gateway='10.1.0.9' |          4 | 10.1.0.1 |
+--------+------+---------------------+-----------------------------------------------+------------+----------+`)
	c.prints("neutrino security group rule list www --sort-column Ethertype", `
+--------------------------------------+-------------+-----------+-----------+------------+-----------+-----------------------+----------------------+
| ID                                   | IP Protocol | Ethertype | IP Range  | Port Range | Direction | Remote Security Group | Remote Address Group |
+--------------------------------------+-------------+-----------+-----------+------------+-----------+-----------------------+----------------------+
| 00000000-0000-0000-0000-000000000001 | None        | IPv4      | 0.0.0.0/0 |            | egress    | None                  | None                 |
| 00000000-0000-0000-0000-000000000002 | None        | IPv6      | ::/0      |            | egress    | None                  | None                 |
+--------------------------------------+-------------+-----------+-----------+------------+-----------+-----------------------+----------------------+`)
	if out := c.run("neutrino network agent list"); out != "\n" {
		t.Errorf("an empty list prints %q", out)
	}
}

func TestOneObjectInEveryFormat(t *testing.T) {
	c := web(t)
	const columns = " -c name -c fixed_ips -c admin_state_up -c binding_profile -c qos_policy_id"
	c.prints("neutrino port show web-1"+columns, `
+-----------------+-------------------------------------------------------------------------+
| Field           | Value                                                                   |
+-----------------+-------------------------------------------------------------------------+
| admin_state_up  | UP                                                                      |
| binding_profile |                                                                         |
| fixed_ips       | ip_address='10.1.0.7', subnet_id='00000000-0000-0000-0000-000000000001' |
| name            | web-1                                                                   |
| qos_policy_id   | None                                                                    |
+-----------------+-------------------------------------------------------------------------+`)
	c.prints("neutrino port show web-1 -f json"+columns, `
{
  "admin_state_up": true,
  "binding_profile": {},
  "fixed_ips": [
    {
      "subnet_id": "00000000-0000-0000-0000-000000000001",
      "ip_address": "10.1.0.7"
    }
  ],
  "name": "web-1",
  "qos_policy_id": null
}`)
	c.prints("neutrino port show web-1 -f yaml"+columns, `
admin_state_up: true
binding_profile: {}
fixed_ips:
- ip_address: 10.1.0.7
  subnet_id: 00000000-0000-0000-0000-000000000001
name: web-1
qos_policy_id: null`)
	c.prints("neutrino port show web-1 -f value"+columns, `
True
{}
[{'subnet_id': '00000000-0000-0000-0000-000000000001', 'ip_address': '10.1.0.7'}]
web-1
None`)
	c.prints("neutrino port show web-1 -f shell -c name -c admin_state_up", "admin_state_up=\"True\"\nname=\"web-1\"")
	c.prints("neutrino router list -f csv -c Name -c State -c Project", "\"Name\",\"State\",\"Project\"\n\"r1\",\"True\",\"default\"")
	c.refused("neutrino port show web-1 -f jsn", "-f jsn is unknown, did you mean json?; there are table, json")
	c.refused("neutrino port show web-1 -c nam", "no column is called nam, did you mean name?; the columns are: admin_state_up")
	c.run("neutrino network list --sort-column Name --sort-descending")
	if got := c.run("neutrino network list --sort-column Name --sort-descending -f value -c Name"); got != "web\npublic\n" {
		t.Errorf("sorted downwards: %q", got)
	}
}

// Whatever the API holds, our YAML says the same as our JSON.
func TestYAMLSaysWhatJSONSays(t *testing.T) {
	c := web(t)
	for _, name := range []string{"yes", "1.5", "0x10", "a: b", "- x", "ends:", "tab\there", `"q"`, "ä #1", "null", "2000-01-01", "x #y", "12:30:45", "~", "", " "} {
		id := strings.TrimSpace(c.run("neutrino network create -f value -c id -- '" + name + "'"))
		var fromJSON, fromYAML map[string]any
		if err := json.Unmarshal([]byte(c.run("neutrino network show -f json "+id)), &fromJSON); err != nil {
			t.Fatal(err)
		}
		text := c.run("neutrino network show -f yaml " + id)
		if err := yaml.Unmarshal([]byte(text), &fromYAML); err != nil {
			t.Fatalf("%q: %v\n%s", name, err, text)
		}
		if fromJSON["name"] != name || fromYAML["name"] != name {
			t.Errorf("name %q is %q in JSON and %#v in YAML", name, fromJSON["name"], fromYAML["name"])
		}
	}
}

func TestIdsComeFirstThenNamesAndTwoOfANameAreNamed(t *testing.T) {
	c := web(t)
	id := c.value("neutrino network show web", "id")
	if got := c.value("neutrino network show "+id, "name"); got != "web" {
		t.Errorf("by id: %q", got)
	}
	// A network that carries another's id as its name does not hide it.
	c.run("neutrino network create " + id)
	if got := c.value("neutrino network show "+id, "name"); got != "web" {
		t.Errorf("the id is not first: %q", got)
	}
	second := c.value("neutrino network create web", "id")
	c.refused("neutrino network show web", "More than one Network is called web; say which by its id: ")
	_, err := c.try("neutrino port create x --network web")
	if err == nil || !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), second) {
		t.Errorf("the ids are not named: %v", err)
	}
	c.refused("neutrino network show nope", "No Network found for nope")
	c.refused("neutrino network show 11111111-2222-3333-4444-555555555555", "No Network found for 11111111-2222-3333-4444-555555555555")
	c.refused("neutrino floating ip show nope", "No FloatingIP found for nope")
	c.run("neutrino network create a/b?c=d&e")
	if got := c.value("neutrino network show a/b?c=d&e", "name"); got != "a/b?c=d&e" {
		t.Errorf("an odd name: %q", got)
	}
}

func TestTheAPIsMessageIsTheError(t *testing.T) {
	c := web(t)
	c.refused("neutrino network delete web", "(HTTP 409 NetworkInUse)")
	c.refused("neutrino subnet create s --network web --subnet-range 10.1.0.0/24", "overlap")
	c.run("neutrino network create a")
	c.refused("neutrino network delete a nope b", "Failed to delete network nope: No Network found for nope\n"+
		"Failed to delete network b: No Network found for b\n2 of 3 networks failed to delete")
	c.refused("neutrino network show a", "No Network found for a")
	c.refused("neutrino network list --os-endpoint http://127.0.0.1:1", "cannot reach 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused")
}

func TestMistypedWordsAreGuessed(t *testing.T) {
	c := newCloud(t)
	for line, words := range map[string]string{
		"neutrino network lst":                                                  `"lst" is no command of "neutrino network", did you mean list?`,
		"neutrino security gruop list":                                          "did you mean group?",
		"neutrino floating ip port forwardin list":                              "did you mean forwarding?",
		"neutrino network list --lng":                                           `"neutrino network list" has no option --lng, did you mean --long?`,
		"neutrino subnet create s --netwrk web":                                 "did you mean --network?",
		"neutrino network create w --provider-network-type vxln":                `"vxln" is none of flat, geneve, gre, local, vlan, vxlan, did you mean vxlan?`,
		"neutrino port create p --network n --fixed-ip sbnet=a":                 `"sbnet" is no key, did you mean subnet?; the form is subnet=<subnet>,ip-address=<ip-address>`,
		"neutrino subnet create s --network n --allocation-pool start=10.0.0.1": "end is missing",
		"neutrino network create w --enable --disable":                          "--enable and --disable exclude each other",
		"neutrino network create w --mtu big":                                   `invalid argument "big" for "--mtu" flag: this is no whole number`,
		"neutrino network create":                                               "<name> is missing",
		"neutrino network create a b":                                           `"b" is one argument too many`,
		"neutrino port create p":                                                "--network is required",
		"neutrino subnet pol list":                                              "did you mean pool?",
		"neutrino subnet pool create p --pool-prefx 10.0.0.0/8":                 "did you mean --pool-prefix?",
		"neutrino network rbak list":                                            "did you mean rbac?",
		"neutrino quota set blue --network 3":                                   "did you mean --networks?",
		"neutrino port set p --extra-property type=strng,name=a,value=b":        "No Port found for p",
		"neutrino network list -f csv --quote sme":                              `"sme" is none of all, minimal, none, nonnumeric`,
		"neutron tag-ad":                                                        "did you mean tag-add?",
		"neutron net-lst":                                                       "did you mean net-list?",
		"neutron net-create x --shred":                                          "did you mean --shared?",
	} {
		c.refused(line, words)
	}
}

func TestHelpOfEveryCommandIsComplete(t *testing.T) {
	c := newCloud(t)
	for _, name := range []string{"neutrino", "neutron"} {
		var walk func(path []string)
		walk = func(path []string) {
			cmd, _, err := c.root(name).Find(path)
			if err != nil {
				t.Fatalf("%v: %v", path, err)
			}
			if cmd.Short == "" {
				t.Errorf("%s has no help", cmd.CommandPath())
			}
			if out := c.run(name + " " + strings.Join(append(path, "--help"), " ")); !strings.Contains(out, "Usage:") {
				t.Errorf("%s --help prints %s", cmd.CommandPath(), out)
			}
			for _, below := range cmd.Commands() {
				walk(append(append([]string{}, path...), below.Name()))
			}
		}
		for _, top := range c.root(name).Commands() {
			if top.Name() != "help" && top.Name() != "completion" {
				walk([]string{top.Name()})
			}
		}
	}
}

func TestTheShellCompletesNamesAndIds(t *testing.T) {
	c := web(t)
	c.run("neutrino subnet pool create p4 --pool-prefix 10.20.0.0/16")
	c.run("neutrino network meter create outside")
	id := c.value("neutrino network show web", "id")
	for line, want := range map[string]string{
		"neutrino __complete network show ''":                             "public\t",
		"neutrino __complete network delete web ''":                       "public\t",
		"neutrino __complete port create x --network w":                   "web\t" + id,
		"neutrino __complete network set " + id[:9]:                       id + "\tweb",
		"neutrino __complete router add subnet r1 web":                    "web-v4\t",
		"neutrino __complete network create x --provider-network-type ''": "vxlan",
		"neutrino __complete port list -f ''":                             "yaml",
		"neutrino __complete network rbac create web --type ''":           "security_group",
		"neutrino __complete network rbac create web --action access_as_": "access_as_external",
		"neutrino __complete subnet create s --subnet-pool p":             "p4\t",
		"neutrino __complete subnet pool unset ''":                        "p4\t",
		"neutrino __complete address scope sh":                            "show\t",
		"neutrino __complete network meter rule create ''":                "outside\t",
		"neutrino __complete quota set blue --subnet":                     "--subnetpools\t",
		"neutrino __complete network list --not-":                         "--not-any-tags\t",
		"neutrino __complete network onboard subnets web ''":              "p4\t",
		"neutrino __complete port list -f csv --quote ''":                 "nonnumeric",
		"neutron __complete tag-add --resource-type ''":                   "subnetpool",
		"neutron __complete router-gateway-set r1 pub":                    "public\t",
		"neutrino __complete security group rule create ''":               "www\t",
	} {
		if out := c.run(line); !strings.Contains(out, want) {
			t.Errorf("%s prints\n%s\nwithout %q", line, out, want)
		}
	}
	if out := c.run("neutrino __complete network delete web ''"); strings.Contains(out, "web\t") {
		t.Errorf("a name is offered twice: %s", out)
	}
}

// What a command line leads to is built without all the others, and is the same.
func TestACommandThatIsBuiltAloneIsTheSame(t *testing.T) {
	leaves := func(tops []*cobra.Command) map[string]string {
		root, found := &cobra.Command{Use: "neutrino"}, map[string]string{}
		root.AddCommand(tops...)
		var walk func(*cobra.Command)
		walk = func(c *cobra.Command) {
			if !c.HasSubCommands() {
				found[strings.TrimPrefix(c.CommandPath(), "neutrino ")] = c.UsageString()
			}
			for _, sub := range c.Commands() {
				walk(sub)
			}
		}
		walk(root)
		return found
	}
	all := leaves(newProgram(from(nil)).commands(nil))
	if len(all) < 90 {
		t.Fatalf("%d commands", len(all))
	}
	for path, usage := range all {
		words := append(strings.Fields(path), "a", "--debug")
		one := leaves(newProgram(from(nil)).commands(words))
		if len(one) != 1 || one[path] != usage {
			t.Errorf("%s: built alone there are %d commands, and the usage is\n%s\nwant\n%s", path, len(one), one[path], usage)
		}
	}
	for _, words := range [][]string{nil, {}, {"help", "network", "list"}, {"network"}, {"network", "lst"}, {"__complete", "port", "list", ""}} {
		if tops, alone := Commands(words); alone || len(leaves(tops)) != len(all) {
			t.Errorf("%q builds %d commands, want all %d", words, len(leaves(tops)), len(all))
		}
	}
}
