package auth

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxNesting is how deep parentheses and "not" may go: far more than a person
// writes, and little enough for the stack.
const maxNesting = 64

// parser reads one check in oslo.policy's language: "@", "!", kind:match, "and",
// "or", "not" and parentheses, where "not" binds closest and "or" least. An empty
// text always holds. As in oslo.policy a check ends at a blank or at a
// parenthesis that it did not open itself, so that %(project_id)s is one word.
type parser struct {
	text  string
	pos   int // of what is read next, in bytes
	depth int
}

// parseCheck reads a whole text. The error names the place in it.
func parseCheck(text string) (check, error) {
	p := &parser{text: text}
	if p.blank(); p.pos == len(text) {
		return verdict(true), nil
	}
	c, err := p.anyOf()
	if err != nil {
		return nil, err
	}
	if p.blank(); p.pos < len(text) {
		return nil, p.errorf(p.pos, "expected \"and\", \"or\" or the end")
	}
	return c, nil
}

func (p *parser) errorf(at int, format string, args ...any) error {
	return fmt.Errorf("%q, character %d: %s", p.text, utf8.RuneCountInString(p.text[:at])+1, fmt.Sprintf(format, args...))
}

func (p *parser) blank() {
	p.pos = len(p.text) - len(strings.TrimLeft(p.text[p.pos:], " \t\r\n\v\f"))
}

func (p *parser) anyOf() (check, error) {
	return p.chain("or", p.allOf, func(l []check) check { return anyOf(l) })
}
func (p *parser) allOf() (check, error) {
	return p.chain("and", p.one, func(l []check) check { return allOf(l) })
}

// chain reads one or more parts with the word between them.
func (p *parser) chain(word string, part func() (check, error), join func([]check) check) (check, error) {
	var list []check
	for {
		c, err := part()
		if err != nil {
			return nil, err
		}
		list = append(list, c)
		before := p.pos
		if !strings.EqualFold(p.word(), word) {
			p.pos = before
			break
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return join(list), nil
}

// one reads "not" and what follows it, a parenthesis, or a single check.
func (p *parser) one() (check, error) {
	p.blank()
	at := p.pos
	if p.depth++; p.depth > maxNesting {
		return nil, p.errorf(at, "nested more than %d deep", maxNesting)
	}
	defer func() { p.depth-- }()
	if at < len(p.text) && p.text[at] == '(' {
		p.pos++
		c, err := p.anyOf()
		if err != nil {
			return nil, err
		}
		if p.blank(); p.pos == len(p.text) || p.text[p.pos] != ')' {
			return nil, p.errorf(p.pos, "the parenthesis that character %d opens is not closed", utf8.RuneCountInString(p.text[:at])+1)
		}
		p.pos++
		return c, nil
	}
	word := p.word()
	switch strings.ToLower(word) {
	case "":
		return nil, p.errorf(at, "expected a check")
	case "and", "or":
		return nil, p.errorf(at, "expected a check before %q", word)
	case "not":
		c, err := p.one()
		return negation{c}, err
	}
	c, err := parseOne(word)
	if err != nil {
		return nil, p.errorf(at, "%v", err)
	}
	return c, nil
}

// word reads to the next blank, or to a closing parenthesis that the word did not
// open. Quotes and backslashes shield both.
func (p *parser) word() string {
	p.blank()
	start, open := p.pos, 0
	var quote byte
	for ; p.pos < len(p.text); p.pos++ {
		c := p.text[p.pos]
		switch {
		case c == '\\' && p.pos+1 < len(p.text):
			p.pos++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			// Only a literal opens with a quote; elsewhere it is a letter like others.
			if p.pos == start {
				quote = c
			}
		case strings.IndexByte(" \t\r\n\v\f", c) >= 0:
			return p.text[start:p.pos]
		case c == '(':
			open++
		case c == ')':
			if open--; open < 0 {
				return p.text[start:p.pos]
			}
		}
	}
	return p.text[start:]
}

// parseOne compiles one word: "@", "!" or kind:match.
func parseOne(word string) (check, error) {
	switch word {
	case "@":
		return verdict(true), nil
	case "!":
		return verdict(false), nil
	}
	kind, match, ok := cutKind(word)
	switch {
	case !ok || kind == "":
		return nil, fmt.Errorf("%q is not a check: write kind:match, \"@\" or \"!\"", word)
	case match == "":
		return nil, fmt.Errorf("nothing follows the colon of %q", word)
	case kind == "rule":
		return reference{name: match}, nil
	case kind == "role":
		return holds{"role", strings.ToLower(match)}, nil
	case kind == "field":
		return parseField(match)
	case kind == "http" || kind == "https":
		return nil, fmt.Errorf("%q asks a remote server, which neutrino does not do: state the demand in the policy itself", word)
	}
	t, err := parseTemplate(match)
	if err != nil {
		return nil, err
	}
	return parseGeneric(kind, t)
}

// cutKind splits at the first colon, or after a literal in quotes.
func cutKind(word string) (kind, match string, ok bool) {
	if word[0] == '\'' || word[0] == '"' {
		if end := strings.IndexByte(word[1:], word[0]); end >= 0 && strings.HasPrefix(word[end+2:], ":") {
			return word[:end+2], word[end+3:], true
		}
		return "", "", false
	}
	return strings.Cut(word, ":")
}

// parseGeneric is a check of a credential or a literal against a text in which
// attributes of the target may stand.
func parseGeneric(kind string, t template) (check, error) {
	switch {
	case kind == "is_admin":
		// Whether a caller is an administrator is itself a rule.
		switch text, _ := t.constant(); strings.ToLower(text) {
		case "true", "1":
			return reference{name: ruleAdmin}, nil
		case "false", "0":
			return negation{reference{name: ruleAdmin}}, nil
		}
		return nil, fmt.Errorf("is_admin is compared with True or False only")
	case kind == "None":
		if attr, ok := t.attribute(); ok {
			return absent(attr), nil
		}
		text, _ := t.constant()
		return verdict(text == "None"), nil
	case kind[0] == '\'' || kind[0] == '"':
		return same{values: []string{kind[1 : len(kind)-1]}, text: t}, nil
	case kind == "True" || kind == "False" || strings.Trim(kind, "0123456789") == "":
		return same{values: []string{kind}, text: t, boolean: isBoolean(kind)}, nil
	}
	if !isCredential(kind) {
		return nil, fmt.Errorf("no credential is called %q; there are %s", kind, credentialNames)
	}
	return credential{kind, t}, nil
}

// parseField compiles resource:attribute=value, or =~pattern (Neutron's own check;
// the pattern must match from the start of the value on).
func parseField(match string) (check, error) {
	resource, rest, ok := strings.Cut(match, ":")
	name, value, valued := strings.Cut(rest, "=")
	if !ok || !valued || name == "" {
		return nil, fmt.Errorf("field:%s is not of the form field:resource:attribute=value", match)
	}
	f := field{attr: attributeName(name), value: value, boolean: isBoolean(value)}
	if resource == "networks" {
		f.parent = "network:" + f.attr
	}
	if pattern, ok := strings.CutPrefix(value, "~"); ok {
		re, err := regexp.Compile(`\A(?:` + pattern + `)`)
		if err != nil {
			return nil, fmt.Errorf("the pattern of field:%s: %v (the syntax is RE2's)", match, err)
		}
		f.pattern = re
	}
	return f, nil
}

// template is a text with the names of attributes in between: the texts are one
// more than the attributes.
type template struct {
	texts []string
	attrs []string
}

// parseTemplate reads Python's format: %(name)s stands for an attribute, %% for a
// per cent sign.
func parseTemplate(s string) (template, error) {
	t := template{}
	var text strings.Builder
	for {
		before, rest, found := strings.Cut(s, "%")
		text.WriteString(before)
		if !found {
			t.texts = append(t.texts, text.String())
			return t, nil
		}
		if after, ok := strings.CutPrefix(rest, "%"); ok {
			text.WriteByte('%')
			s = after
			continue
		}
		name, after, ok := strings.Cut(rest, ")s")
		if !ok || len(name) < 2 || name[0] != '(' || strings.ContainsAny(name[1:], "()%") {
			return t, fmt.Errorf("%q: after a per cent sign stands (attribute)s or another per cent sign", "%"+rest)
		}
		t.texts, t.attrs = append(t.texts, text.String()), append(t.attrs, attributeName(name[1:]))
		text.Reset()
		s = after
	}
}

// constant is the text, when no attribute stands in it.
func (t template) constant() (string, bool) { return t.texts[0], len(t.attrs) == 0 }

// attribute is the one attribute that is the whole text.
func (t template) attribute() (string, bool) {
	if len(t.attrs) == 1 && t.texts[0] == "" && t.texts[1] == "" {
		return t.attrs[0], true
	}
	return "", false
}

// attributeName gives an attribute that has two names in the API one:
// tenant_id is project_id (api.md section 1.5), target_project is target_tenant.
func attributeName(s string) string {
	switch {
	case s == "tenant_id" || strings.HasSuffix(s, ":tenant_id"):
		return strings.TrimSuffix(s, "tenant_id") + "project_id"
	case s == "target_project":
		return "target_tenant"
	}
	return s
}

func isBoolean(s string) bool { return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") }
