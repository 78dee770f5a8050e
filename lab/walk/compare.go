package walk

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// What differs between two runs of one cloud. The rest must be the same.
var varying = []struct {
	form *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`cookie=0x[0-9a-f]+`), "cookie=<cookie>"},
	{regexp.MustCompile(`duration=[0-9.]+s`), "duration=<time>"},
	{regexp.MustCompile(`\b(n_packets|n_bytes|idle_age|hard_age)=[0-9]+`), "$1=<count>"},
	{regexp.MustCompile(`\bxid=0x[0-9a-f]+`), "xid=<number>"},
	{regexp.MustCompile(`\bdpid:[0-9a-f]{16}\b`), "dpid:<number>"},
	{regexp.MustCompile(`(?m)^[0-9]+: ([a-z])`), "<index>: $1"},
	{regexp.MustCompile(`@if[0-9]+`), "@if<index>"},
	{regexp.MustCompile(` \(id: [0-9]+\)`), ""},
	{regexp.MustCompile(`link-netnsid [0-9]+`), "link-netnsid <index>"},
	{regexp.MustCompile(`(?m)^ [0-9]+\(`), " <port>("},
}

var (
	// idForm is an id or as much of it as a name has: 10 characters or more.
	idForm        = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]+(?:-[0-9a-f]*)*`)
	macForm       = regexp.MustCompile(`\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b`)
	macNumberForm = regexp.MustCompile(`\b0x[0-9a-f]{12}\b`)
	linkLocalForm = regexp.MustCompile(`\bfe80::[0-9a-f:]+`)
)

// Normal is a text of a run with this cast as every other run has it: members
// under their roles, and what varies under its kind. An id that belongs to
// nobody stays, unless it is a whole one, such as Open vSwitch gives its rows.
func (c Cast) Normal(text string) string {
	text = linkLocalForm.ReplaceAllStringFunc(text, func(s string) string {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return s
		}
		b := a.As16()
		return c.mac(net.HardwareAddr{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}.String(), "<link-local")
	})
	text = macNumberForm.ReplaceAllStringFunc(text, func(s string) string {
		var b strings.Builder
		for i := 2; i < len(s); i += 2 {
			b.WriteString(":" + s[i:i+2])
		}
		return c.mac(b.String()[1:], "<number")
	})
	text = macForm.ReplaceAllStringFunc(text, func(s string) string {
		if s == "00:00:00:00:00:00" || s == "01:00:00:00:00:00" || s == "ff:ff:ff:ff:ff:ff" {
			return s
		}
		return c.mac(s, "<mac")
	})
	text = idForm.ReplaceAllStringFunc(text, c.id)
	for _, v := range varying {
		text = v.form.ReplaceAllString(text, v.as)
	}
	return text
}

// mac names a MAC's owner; the kernel's and Open vSwitch's own are anybody's.
func (c Cast) mac(mac, kind string) string {
	for _, m := range c.Members() {
		if m.MAC == mac {
			return kind + " of " + m.Role + ">"
		}
	}
	return kind + ">"
}

func (c Cast) id(s string) string {
	for _, m := range c.Members() {
		if strings.HasPrefix(m.ID, s) {
			return fmt.Sprintf("<%d of %s>", len(s), m.Role)
		}
	}
	if len(s) == idLength {
		return "<id>"
	}
	return s
}

// Differences is what two documents of one script, each with its cast, say
// differently: nothing, if the older one still tells the truth.
func Differences(old, now Document, was, is Cast) []string {
	if len(old) != len(now) {
		return []string{fmt.Sprintf("%d pieces, now %d", len(old), len(now))}
	}
	var out []string
	differ := func(where, a, b string) {
		if a, b = was.Normal(a), is.Normal(b); a != b {
			out = append(out, fmt.Sprintf("%s\n--- the document\n%s\n--- now\n%s\n", where, a, b))
		}
	}
	for i, p := range now {
		differ("prose", old[i].Prose, p.Prose)
		if len(old[i].Steps) != len(p.Steps) {
			out = append(out, fmt.Sprintf("block %d has %d commands, now %d", i, len(old[i].Steps), len(p.Steps)))
			continue
		}
		for k, s := range p.Steps {
			o := old[i].Steps[k]
			differ("command", o.On+"# "+o.Command, s.On+"# "+s.Command)
			a, b := was.Normal(o.Output), is.Normal(s.Output)
			if p.Unordered {
				a, b = sorted(a), sorted(b)
			}
			if a != b {
				out = append(out, fmt.Sprintf("%s# %s\n--- the document\n%s\n--- now\n%s\n", s.On, s.Command, a, b))
			}
		}
	}
	return out
}

// sorted orders lines that come in any order: siblings among themselves, each
// with the lines that are indented below it.
func sorted(text string) string {
	return sortTree(strings.Split(text, "\n"))
}

func sortTree(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	depth := indent(lines[0])
	for _, l := range lines {
		depth = min(depth, indent(l))
	}
	var nodes []string
	for i := 0; i < len(lines); {
		end := i + 1
		for end < len(lines) && indent(lines[end]) > depth {
			end++
		}
		node := lines[i]
		if end > i+1 {
			node += "\n" + sortTree(lines[i+1:end])
		}
		nodes = append(nodes, node)
		i = end
	}
	slices.Sort(nodes)
	return strings.Join(nodes, "\n")
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }
