package iptables

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// token is one word of a rule; quoted when it stood in quotes, so that a
// comment that reads as an option is not taken for one.
type token struct {
	text   string
	quoted bool
}

// tokens takes a rule apart as iptables-restore does: words between blanks,
// quotes around words with blanks, backslash inside quotes.
func tokens(rule string) []token {
	var out []token
	for i := 0; i < len(rule); {
		if rule[i] == ' ' || rule[i] == '\t' {
			i++
			continue
		}
		var t token
		var b strings.Builder
		in := false
		for ; i < len(rule) && (in || (rule[i] != ' ' && rule[i] != '\t')); i++ {
			switch {
			case rule[i] == '"':
				in, t.quoted = !in, true
			case rule[i] == '\\' && in && i+1 < len(rule):
				i++
				b.WriteByte(rule[i])
			default:
				b.WriteByte(rule[i])
			}
		}
		t.text = b.String()
		out = append(out, t)
	}
	return out
}

// render spells words as iptables-save does.
func render(words []token) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quote(w))
	}
	return b.String()
}

// plain are the characters besides letters, digits, "_" and "-" that a word may
// hold without quotes. iptables-save quotes a comment with any of them.
const plain = "+/.,:!@%=~"

func quote(w token) string {
	need := w.text == "" || (w.quoted && (w.text == "!" || strings.HasPrefix(w.text, "-")))
	for _, c := range []byte(w.text) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '-':
		case !w.quoted && (c >= 0x80 || strings.IndexByte(plain, c) >= 0):
		default:
			need = true
		}
	}
	if !need {
		return w.text
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(w.text) {
		if c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
	return b.String()
}

// option is one option of a rule with its arguments.
type option struct {
	not  bool
	name string
	args []token
}

func (o option) words() []token {
	var out []token
	if o.not {
		out = append(out, token{text: "!"})
	}
	return append(append(out, token{text: o.name}), o.args...)
}

// group is a match or the target with its options; the first has no name.
type group struct {
	name    string
	options []option
}

// Normalise is the one spelling of a rule, close to what iptables-save prints.
// Two rules with the same normal form do the same; what is no rule stays as it
// is. It knows protocols by a fixed table only; a hand also uses the host's own names.
func Normalise(rule string) string { return normalise(rule, byName) }

func normalise(rule string, names map[string]int) string {
	base, matches, jump := parseRule(rule)
	if !sound(base, matches, jump) {
		return rule
	}
	base = normalBase(base, names)
	proto := ""
	for _, o := range base {
		if o.name == "-p" && !o.not {
			proto = o.args[0].text
		}
	}
	if proto == "" && len(matches) > 0 && matches[0].name == "" {
		return rule
	}
	matches = normalMatches(matches, proto)
	var words []token
	for _, o := range base {
		words = append(words, o.words()...)
	}
	for _, m := range matches {
		words = append(words, token{text: "-m"}, token{text: m.name})
		for _, o := range m.options {
			words = append(words, o.words()...)
		}
	}
	if jump.name != "" {
		normalTarget(&jump)
		words = append(words, token{text: jump.options[0].name}, token{text: jump.name})
		for _, o := range jump.options[1:] {
			words = append(words, o.words()...)
		}
	}
	return render(words)
}

var longNames = map[string]string{
	"--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d", "--protocol": "-p", "--proto": "-p",
	"--in-interface": "-i", "--out-interface": "-o", "--fragment": "-f", "--match": "-m", "--jump": "-j", "--goto": "-g",
	"--sports": "--sports", "--source-ports": "--sports", "--destination-ports": "--dports",
	"--source-port": "--sport", "--destination-port": "--dport", "--ctstatus": "--ctstatus",
	"--log-prefix": "--log-prefix", "--set-mark": "--set-xmark",
}

// parseRule takes a rule apart. An option before any -m, or of the base set,
// belongs to the rule; ports without -m belong to their protocol's match.
func parseRule(rule string) (base []option, matches []group, jump group) {
	words := tokens(rule)
	not, where := false, &group{}
	implied := &group{}
	for i := 0; i < len(words); i++ {
		w := words[i]
		if w.text == "!" && !w.quoted {
			not = true
			continue
		}
		o := option{not: not, name: w.text}
		not = false
		if long, ok := longNames[o.name]; ok {
			o.name = long
		}
		if i+1 < len(words) && (o.name == "--comment" || o.name == "--log-prefix") {
			i++ // its argument may look like anything
			o.args = []token{words[i]}
		}
		for i+1 < len(words) && !startsOption(words, i+1) {
			i++
			o.args = append(o.args, words[i])
		}
		switch {
		case (o.name == "-j" || o.name == "-g") && len(o.args) == 1 && jump.name == "":
			jump = group{o.args[0].text, []option{{name: o.name}}}
			where = &jump
		case o.name == "-m" && len(o.args) == 1 && o.args[0].text != "":
			matches = append(matches, group{name: o.args[0].text})
			where = &matches[len(matches)-1]
		case slices.Contains([]string{"-s", "-d", "-i", "-o", "-p", "-f"}, o.name):
			base = append(base, o)
		case where.name == "":
			implied.options = append(implied.options, o)
		default:
			where.options = append(where.options, o)
		}
	}
	if not {
		implied.options = append(implied.options, option{name: "!"})
	}
	if len(implied.options) > 0 {
		matches = append([]group{*implied}, matches...)
	}
	return base, matches, jump
}

// startsOption reports whether the word begins another option. A quoted word
// never does; "!" does when an option follows it.
func startsOption(words []token, i int) bool {
	w := words[i]
	if w.quoted {
		return false
	}
	if w.text == "!" {
		return i+1 < len(words) && strings.HasPrefix(words[i+1].text, "-")
	}
	return len(w.text) > 1 && w.text[0] == '-' && (w.text[1] < '0' || w.text[1] > '9')
}

// sound reports whether a rule has the shape of one: options with their
// arguments, each of the base set once.
func sound(base []option, matches []group, jump group) bool {
	seen := map[string]bool{}
	for _, o := range base {
		if seen[o.name] || (len(o.args) != 1) != (o.name == "-f") || len(o.args) > 1 || (len(o.args) == 1 && o.args[0].text == "") {
			return false
		}
		seen[o.name] = true
	}
	for _, g := range append(matches, jump) {
		for _, o := range g.options {
			if len(o.name) < 2 || o.name[0] != '-' || o.name == "--" || o.name == "-m" || strings.ContainsAny(o.name, " \t\"\\") {
				return false
			}
		}
		if strings.HasPrefix(g.name, "!") || strings.HasPrefix(g.name, "-") {
			return false
		}
	}
	return true
}

func normalBase(base []option, names map[string]int) []option {
	var out []option
	for _, o := range base {
		switch o.name {
		case "-s", "-d":
			o.args = []token{{text: prefixForm(o.args[0].text)}}
			if !o.not && (o.args[0].text == "0.0.0.0/0" || o.args[0].text == "::/0") {
				continue
			}
		case "-p":
			form := protocolForm(o.args[0].text, names)
			if form == "" && !o.not {
				continue
			}
			o.args = []token{{text: form}}
		}
		out = append(out, o)
	}
	slices.SortStableFunc(out, func(a, b option) int {
		return strings.Index("sdiofp", a.name[1:]) - strings.Index("sdiofp", b.name[1:])
	})
	return out
}

// prefixForm is the form of an address that iptables-save prints: with its
// prefix length, host bits cleared.
func prefixForm(s string) string {
	addr, bits, ok := strings.Cut(s, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return s
	}
	n := a.BitLen()
	if ok {
		if m, err := netip.ParseAddr(bits); err == nil && m.Is4() { // 255.255.255.0
			n = maskBits(m)
		} else if n, err = strconv.Atoi(bits); err != nil {
			return s
		}
	}
	p, err := a.Prefix(n)
	if err != nil {
		return s
	}
	return p.String()
}

func maskBits(m netip.Addr) int {
	n := 0
	for _, b := range m.AsSlice() {
		for ; b&0x80 != 0; b <<= 1 {
			n++
		}
	}
	return n
}

// keepsState are matches whose place in the rule changes what they do.
var keepsState = []string{"limit", "hashlimit", "recent", "quota", "statistic", "connlimit"}

func normalMatches(matches []group, proto string) []group {
	own := map[string]string{"ipv6-icmp": "icmp6", "mobility-header": "mh"}[proto]
	if own == "" {
		own = proto
	}
	fixed := false
	var out []group
	for _, m := range matches {
		if m.name == "" || m.name == "icmpv6" {
			m.name = own
		}
		normalMatch(&m)
		fixed = fixed || slices.Contains(keepsState, m.name)
		if len(m.options) == 0 && m.name == own {
			continue // the match of the protocol itself, without a condition
		}
		if i := slices.IndexFunc(out, func(g group) bool { return g.name == own && m.name == own }); i >= 0 {
			out[i].options = append(out[i].options, m.options...)
			normalMatch(&out[i])
			continue
		}
		out = append(out, m)
	}
	if fixed {
		return out
	}
	rank := func(g group) int {
		switch g.name {
		case own:
			return 0
		case "comment":
			return 2
		}
		return 1
	}
	slices.SortStableFunc(out, func(a, b group) int {
		return cmp.Or(rank(a)-rank(b), strings.Compare(a.name, b.name))
	})
	return out
}
