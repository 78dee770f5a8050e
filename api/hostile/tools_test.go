package hostile

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// put gives all that the plans had to the tools that a host would use, in the
// test's own namespaces.
func (j *judge) put() {
	j.t.Helper()
	if testing.Short() || os.Geteuid() != 0 {
		j.t.Log("NOT TESTED: what iptables, ipset, dnsmasq and ovs-ofctl say needs root, without -short")
		return
	}
	j.putSets()
	for _, family := range []int{4, 6} {
		j.putRules(family)
	}
	j.putFlows()
	j.putOptions()
}

// tool runs a program; ok is false where the machine has none.
func (j *judge) tool(stdin, name string, args ...string) (said string, failed, ok bool) {
	path, err := exec.LookPath(name)
	if err != nil {
		j.t.Logf("NOT TESTED: there is no %s here", name)
		return "", false, false
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err != nil, true
}

// putSets fills every set that a plan had, one after the other; the last ones
// stay for the rules that name them.
func (j *judge) putSets() {
	for text, request := range j.sets {
		name := strings.Fields(text)[1]
		j.tool("", "ipset", "destroy", name)
		if said, failed, ok := j.tool(text, "ipset", "restore"); ok && failed {
			j.t.Errorf("%s: ipset refuses %.300q: %s", request, text, said)
		}
	}
}

var blamed = regexp.MustCompile(`(?:line:? |line )(\d+)`)

// putRules has iptables-restore read every rule that a plan had.
func (j *judge) putRules(family int) {
	tool := map[int]string{4: "iptables-restore", 6: "ip6tables-restore"}[family]
	tables := map[string][]rule{}
	for r := range j.rules {
		if r.family == family {
			tables[r.table] = append(tables[r.table], r)
		}
	}
	for table, rules := range tables {
		slices.SortFunc(rules, func(a, b rule) int { return strings.Compare(a.text, b.text) })
		for len(rules) > 0 {
			head := []string{"*" + table}
			for c := range j.chains {
				if c.family == family && c.table == table {
					head = append(head, ":"+c.name+" - [0:0]")
				}
			}
			text := slices.Clone(head)
			for _, r := range rules {
				text = append(text, "-A "+j.aChain(family, table)+" "+r.text)
			}
			said, failed, ok := j.tool(strings.Join(append(text, "COMMIT"), "\n")+"\n", tool, "--test")
			if !ok || !failed {
				break
			}
			n := 0
			if m := blamed.FindStringSubmatch(said); m != nil {
				n, _ = strconv.Atoi(m[1])
			}
			if n -= len(head) + 1; n < 0 || n >= len(rules) {
				j.t.Errorf("%s: %.600s", tool, said)
				break
			}
			j.t.Errorf("%s: %s refuses %q: %.300s", j.rules[rules[n]], tool, rules[n].text, said)
			rules = slices.Delete(rules, n, n+1)
		}
	}
}

func (j *judge) aChain(family int, table string) string {
	for c := range j.chains {
		if c.family == family && c.table == table {
			return c.name
		}
	}
	return ""
}

// putFlows has ovs-ofctl read every flow that a plan had; ports are numbers to it.
func (j *judge) putFlows() {
	names := regexp.MustCompile(`(in_port=|output:|,)((?:qvo|tap|gre-|vxlan-|geneve-|gnv-|int-|phy-|patch-)[-0-9a-z]*)`)
	var text []string
	for _, l := range sorted(j.flows) {
		text = append(text, names.ReplaceAllString(l, "${1}1"))
	}
	file := filepath.Join(j.t.TempDir(), "flows")
	if err := os.WriteFile(file, []byte(strings.Join(text, "\n")+"\n"), 0o600); err != nil {
		j.t.Fatal(err)
	}
	if said, failed, ok := j.tool("", "ovs-ofctl", "-O", "OpenFlow14", "parse-flows", file); ok && failed {
		j.t.Errorf("ovs-ofctl: %.600s", said)
	}
}

var hostAddress = regexp.MustCompile(`,(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\])(,set:port-[-0-9a-f]+)?$`)

// putOptions has dnsmasq read each line of its files and each range. It reads
// the files of options and hosts later than its --test ends, so that their lines
// stand in a configuration here, where they have the same form.
func (j *judge) putOptions() {
	type entry struct{ line, request string }
	var all []entry
	add := func(key string, m map[string]string) {
		for _, l := range sorted(m) {
			all = append(all, entry{key + l, m[l]})
		}
	}
	add("dhcp-option=", j.options)
	add("dhcp-host=", j.clients)
	add("", j.commands)
	dir := j.t.TempDir()
	for i := range all { // the plans of different moments give one address to many
		n := strconv.Itoa(i/250/250) + "." + strconv.Itoa(i/250%250) + "." + strconv.Itoa(i%250)
		if strings.HasPrefix(all[i].line, "dhcp-host=") {
			all[i].line = hostAddress.ReplaceAllString(all[i].line, ",10."+n+"$2")
		}
	}
	for len(all) > 0 {
		var text strings.Builder
		for _, e := range all {
			text.WriteString(e.line + "\n")
		}
		file := filepath.Join(dir, "conf")
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			j.t.Fatal(err)
		}
		said, failed, ok := j.tool("", "dnsmasq", "--test", "--conf-file="+file)
		if !ok || !failed {
			return
		}
		n := 0
		if m := regexp.MustCompile(`at line (\d+) of`).FindStringSubmatch(said); m != nil {
			n, _ = strconv.Atoi(m[1])
		}
		if n < 1 || n > len(all) {
			j.t.Errorf("dnsmasq: %.600s", said)
			return
		}
		j.t.Errorf("%s: dnsmasq refuses %q: %s", all[n-1].request, all[n-1].line, strings.TrimSpace(said))
		all = slices.Delete(all, n-1, n)
	}
}
