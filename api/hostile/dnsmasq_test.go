package hostile

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"neutrino"
	"neutrino/view"
)

// maxLine is how many bytes of a line dnsmasq reads at a time, its MAXDNAME: the
// rest of a longer one is another line to it.
const maxLine = 1024

const (
	macForm  = `[0-9a-f]{2}(?::[0-9a-f]{2}){5}`
	idForm   = `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`
	nameForm = `[A-Za-z0-9][-A-Za-z0-9.]{0,254}`
)

// The lines that the files of a DHCP server may have, and nothing else.
var (
	clientLine = regexp.MustCompile(`^` + macForm + `,(?:tag:dhcpv6,)?(?:id:([^,\s"#]+),)?` + nameForm + `,(\[?[0-9a-f.:]+\]?)(?:,set:port-(` + idForm + `))?$`)
	infoLine   = regexp.MustCompile(`^` + macForm + `,tag:dhcpv6,set:port-(` + idForm + `)$`)
	optionLine = regexp.MustCompile(`^tag:(subnet|port)-(` + idForm + `),((?:option6?:[A-Za-z0-9][-A-Za-z0-9_+]*)|[0-9]+)(?:,(.*))?$`)
	nameLine   = regexp.MustCompile(`^([0-9a-f.:]+)\t` + nameForm + ` ` + nameForm + `$`)
	leaseLine  = regexp.MustCompile(`^0 ` + macForm + ` [0-9.]+ \* \*$`)
	argument   = regexp.MustCompile(`^--[-a-z0-9]+(=[-A-Za-z0-9._:/,]*)?$`)
)

// dnsmasq checks the files and arguments of each DHCP server: every line is one
// that the view has a reason for.
func (j *judge) dnsmasq(p *planned, request string, wrong func(string, ...any)) {
	for dir, proc := range p.state.Processes {
		for i, a := range strings.Split(proc.Argv, "\x00") {
			if i > 0 && !argument.MatchString(a) {
				wrong("argument %q", a)
			}
			if i > 0 && (strings.HasPrefix(a, "--dhcp-range") || strings.HasPrefix(a, "--dhcp-option")) {
				first(j.commands, strings.TrimPrefix(a, "--"), request)
			}
		}
		j.serverFiles(p, dir, request, wrong)
	}
	for file, f := range p.state.Files {
		for _, l := range lines(strings.TrimSuffix(f.Content, "\n")) {
			if len(l) > maxLine {
				wrong("%s: a line of %d bytes is two for dnsmasq: %.80q", path.Base(file), len(l), l)
			}
		}
	}
}

func (j *judge) serverFiles(p *planned, dir, request string, wrong func(string, ...any)) {
	options := extraOptions(p.view, neutrino.ID(path.Base(dir)))
	content := func(name string) []string {
		return lines(strings.TrimSuffix(p.state.Files[path.Join(dir, name)].Content, "\n"))
	}
	for _, l := range content("host") {
		if !clientLine.MatchString(l) && !infoLine.MatchString(l) {
			wrong("hosts file: %q", l)
		}
		if m := clientLine.FindStringSubmatch(l); m != nil && m[1] != "" && !anyOption(options, m[1]) {
			wrong("hosts file: nobody asked for %q", l)
		}
		first(j.clients, l, request)
	}
	got := map[string]int{}
	for _, l := range content("opts") {
		m := optionLine.FindStringSubmatch(l)
		if m == nil {
			wrong("options file: %q", l)
			continue
		}
		if m[1] == "port" {
			got[m[2]]++
			if !slices.ContainsFunc(options[m[2]], func(o neutrino.DHCPOption) bool { return o.Value == m[4] && strings.HasSuffix(m[3], o.Name) }) {
				wrong("options file: port has no option %q", l)
			}
		}
		first(j.options, l, request)
	}
	for id, n := range got {
		if n > len(options[id]) {
			wrong("options file: %d lines for the %d options of port %s", n, len(options[id]), id)
		}
	}
	for _, l := range content("addn_hosts") {
		if !nameLine.MatchString(l) {
			wrong("file of names: %q", l)
		}
	}
	for _, l := range content("leases") {
		if !leaseLine.MatchString(l) {
			wrong("lease %q", l)
		}
	}
}

// extraOptions are the options of the ports of a network, by port.
func extraOptions(v *view.Host, network neutrino.ID) map[string][]neutrino.DHCPOption {
	out := map[string][]neutrino.DHCPOption{}
	for id, p := range v.Ports {
		if p.NetworkID == network && len(p.ExtraDHCPOpts) > 0 {
			out[string(id)] = p.ExtraDHCPOpts
		}
	}
	for id, n := range v.Neighbours {
		if n.NetworkID == network && len(n.ExtraDHCPOpts) > 0 {
			out[string(id)] = n.ExtraDHCPOpts
		}
	}
	return out
}

func anyOption(options map[string][]neutrino.DHCPOption, value string) bool {
	for _, list := range options {
		if slices.ContainsFunc(list, func(o neutrino.DHCPOption) bool { return o.Value == value }) {
			return true
		}
	}
	return false
}
