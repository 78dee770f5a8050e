package iptables

import (
	"maps"
	"strconv"
	"strings"
)

// protocols are the names that iptables-save prints for numbers, from Debian's
// /etc/protocols, the same as the names that netfilter's own table knows.
const protocols = "icmp:1 igmp:2 ggp:3 ipencap:4 st:5 tcp:6 egp:8 igp:9 pup:12 udp:17 hmp:20 xns-idp:22 rdp:27 " +
	"iso-tp4:29 dccp:33 xtp:36 ddp:37 idpr-cmtp:38 ipv6:41 ipv6-route:43 ipv6-frag:44 idrp:45 rsvp:46 gre:47 " +
	"esp:50 ah:51 skip:57 ipv6-icmp:58 ipv6-nonxt:59 ipv6-opts:60 rspf:73 vmtp:81 eigrp:88 ospf:89 ax.25:93 " +
	"ipip:94 etherip:97 encap:98 pim:103 ipcomp:108 vrrp:112 l2tp:115 isis:124 sctp:132 fc:133 " +
	"mobility-header:135 udplite:136 mpls-in-ip:137 manet:138 hip:139 shim6:140 wesp:141 rohc:142 ethernet:143"

// aliases are other names of the same numbers, of people and of other distributions.
const protocolAliases = "icmpv6:58 icmp6:58 mh:135 ipv6-mh:135 ip:0 all:0 hopopt:0 ospfigp:89 ipv4:4 ip-encap:4 carp:112"

// everywhere are the names that iptables knows without /etc/protocols.
const everywhere = " tcp udp udplite icmp icmpv6 ipv6-icmp esp ah sctp all "

var (
	byName   = parsePairs(protocols + " " + protocolAliases)
	byNumber = invert(parsePairs(protocols))
)

func parsePairs(text string) map[string]int {
	out := map[string]int{}
	for _, f := range strings.Fields(text) {
		i := strings.LastIndexByte(f, ':')
		n, err := strconv.Atoi(f[i+1:])
		if err == nil {
			out[f[:i]] = n
		}
	}
	return out
}

func invert(names map[string]int) map[int]string {
	out := map[int]string{}
	for name, n := range names {
		out[n] = name
	}
	return out
}

// protocolNames is a copy of the fixed table, to be completed for this host.
func protocolNames() map[string]int { return maps.Clone(byName) }

// addProtocols adds a host's own names from the text of /etc/protocols; only
// numbers that a packet can carry.
func addProtocols(names map[string]int, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, err := strconv.Atoi(f[1])
		if err != nil || n < 0 || n > 255 {
			continue
		}
		for _, name := range append([]string{f[0]}, f[2:]...) {
			names[name] = n // the host's word goes: it is what its iptables-save prints
		}
	}
}

// protocolForm is the one spelling of a protocol; "" for any.
func protocolForm(word string, names map[string]int) string {
	n, err := strconv.ParseUint(word, 0, 8)
	if err != nil {
		known, ok := names[word]
		if !ok {
			known, ok = names[strings.ToLower(word)]
		}
		if !ok {
			return word
		}
		n = uint64(known)
	}
	if n == 0 {
		return ""
	}
	if name, ok := byNumber[int(n)]; ok {
		return name
	}
	return strconv.FormatUint(n, 10)
}

// wire spells a rule for the tool: a protocol whose name it may not know on
// this host goes as a number.
func (e *Engine) wire(rule string) string {
	words := tokens(rule)
	for i := 0; i+1 < len(words); i++ {
		if words[i].quoted || (words[i].text != "-p" && words[i].text != "--protocol") {
			continue
		}
		name := words[i+1].text
		if n, ok := byName[name]; ok && !strings.Contains(everywhere, " "+name+" ") {
			words[i+1].text = strconv.Itoa(n)
			return render(words)
		}
	}
	return rule
}
