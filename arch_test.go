package neutrino_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// source is one parsed file of the tree.
type source struct {
	path string // relative
	pkg  string // directory, "." for the root
	test bool
	file *ast.File
	set  *token.FileSet
	text string
}

func (s source) line(p token.Pos) int { return s.set.Position(p).Line }

// sources are all Go files but generated ones.
func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		if !ast.IsGenerated(f) {
			out = append(out, source{path, filepath.Dir(path), strings.HasSuffix(path, "_test.go"), f, set, string(text)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// imports says what each station may import of this module, and why the list
// ends there. A package that is not named may be imported by nobody but cmd.
var imports = map[string]struct {
	may []string
	why string
}{
	".":                   {nil, "the nouns import the standard library only"},
	"reconcile":           {nil, "comparing and ordering knows no networking"},
	"host":                {nil, "a host's state is plain data that knows no noun"},
	"config":              {nil, "reading files knows no station"},
	"store":               {[]string{".", "store/engine", "store/coding", "store/identity", "store/tree"}, "the store does not know what a port means"},
	"store/identity":      {[]string{".", "store/engine", "wholefile"}, "a store's name is a key of the engine, and no row"},
	"store/storetest":     {[]string{"store", "store/engine/sqlite"}, "it opens a store and knows nothing of what is in it"},
	"intent":              {[]string{".", "store", "intent/*"}, "what a request means needs no wire and no host"},
	"intent/addresspair":  {[]string{".", "store", "intent/work"}, "a feature stands on what all stand on, on no other"},
	"intent/binding":      {[]string{".", "store", "intent/work", "intent/liveness", "intent/mark"}, "a network that comes to a host brings its scopes"},
	"intent/liveness":     {nil, "who is dead is decided by streams and a clock, by no row"},
	"intent/failover":     {[]string{".", "store", "intent", "intent/liveness"}, "it carries out what intent decides"},
	"intent/defaultgroup": {[]string{".", "store", "intent/work"}, "a feature stands on what all stand on, on no other"},
	"intent/dns":          {[]string{".", "intent/work"}, "a feature stands on what all stand on, on no other"},
	"intent/quota":        {[]string{".", "store", "intent/work"}, "a feature stands on what all stand on, on no other"},
	"intent/rbac":         {[]string{".", "store", "intent/work", "intent/quota"}, "shares know what may be shared, and its quota"},
	"intent/addressscope": {[]string{".", "store", "intent/work", "intent/rbac", "intent/quota", "intent/mark"}, "a scope can be shared, is counted, and has marks"},
	"intent/subnetpool":   {[]string{".", "store", "intent/work", "intent/rbac", "intent/quota", "intent/mark"}, "a pool can be shared, is counted, and moves between scopes"},
	"intent/mark":         {[]string{".", "store", "intent/work"}, "a feature stands on what all stand on, on no other"},
	"intent/metering":     {[]string{".", "store", "intent/work", "intent/quota"}, "labels and rules are counted"},
	"intent/serverevent":  {[]string{".", "store", "intent/work"}, "a feature stands on what all stand on, on no other"},
	"intent/space":        {[]string{".", "store", "intent/work"}, "how full a space is follows from the store"},
	"intent/tag":          {[]string{".", "store", "intent/work"}, "a feature stands on what all stand on, on no other"},
	"intent/work":         {[]string{".", "store", "intent/liveness"}, "what all features stand on knows none of them"},
	"auth":                {[]string{".", "wholefile"}, "who asks and what they may do needs no object and no request"},
	"nova":                {[]string{".", "store"}, "who tells Nova reads what is to be told, not what it means"},
	"nova/novatest":       {nil, "a Nova for tests knows what goes over the wire"},
	"api":                 {[]string{".", "store", "intent", "intent/*", "auth", "api/*"}, "the wire form holds no business rules"},
	"api/door":            {nil, "which request a browser may send knows no resource"},
	"api/wire":            {[]string{"."}, "a value on the wire knows no resource"},
	"api/openapi":         {nil, "a description of an API knows no noun"},
	"api/admission":       {nil, "sharing knows no request: a flow is what its caller says"},
	"api/extension":       {[]string{"api/wire"}, "a list of names knows no resource"},
	"api/top":             {nil, "an order of rows knows no resource"},
	"api/bounds":          {nil, "how large something may be knows no resource"},
	"api/conns":           {[]string{"api/admission"}, "connections and bodies are bytes that take memory"},
	"strictjson":          {nil, "reading JSON knows no noun"},
	"wholefile":           {nil, "writing a file knows no station"},
	"view":                {[]string{".", "store", "strictjson"}, "a view is a projection of the store"},
	"feed":                {[]string{".", "store", "view", "view/fuse", "feed/*", "strictjson", "wholefile"}, "the feed carries views and reports, it does not read them"},
	"view/fuse":           {[]string{".", "view"}, "what is held follows from two views and the proofs: no store, no host, no clock"},
	"feed/departure":      {[]string{".", "store", "view", "view/fuse"}, "what is gone for good follows from the store's changes alone"},
	"plan":                {[]string{".", "view", "host", "plan/names", "plan/pipeline"}, "the plan is pure: no store, no feed, no hand"},
	"plan/names":          {[]string{"."}, "names are made of nouns"},
	"plan/pipeline":       {[]string{"."}, "tables are declared, not computed"},
	"vif":                 {[]string{".", "plan/names", "host", "host/ovsdb", "host/link"}, "plugging needs names and the OVSDB, no station"},
	"metadata":            {[]string{".", "view", "plan/names", "host", "host/inside", "reconcile"}, "the service answers from the view, by the socket that was asked"},
	"cli":                 {[]string{".", "api", "cli/clouds", "cli/grid", "cli/manners", "cli/spell"}, "a face speaks the wire form only"},
	"cli/grid":            {nil, "a table knows text"},
	"cli/clouds":          {nil, "reading files knows no station"},
	"cli/manners":         {nil, "options that change nothing know nothing"},
	"cli/spell":           {nil, "letters know no station"},
	"agent":               {[]string{".", "feed", "view", "view/fuse", "wholefile", "plan", "plan/names", "metadata", "reconcile", "host", "host/*"}, "the loop knows no feature"},
	"conformance":         {[]string{".", "lab", "host/inside"}, "real clients see the program from outside, over the wire"},
}

func TestImportRules(t *testing.T) {
	for _, s := range sources(t) {
		rule, ruled := imports[s.pkg]
		if s.test || strings.HasPrefix(s.pkg, "cmd") || strings.HasPrefix(s.pkg, "lab") {
			continue
		}
		if hand, ok := strings.CutPrefix(s.pkg, "host/"); ok {
			rule.may, rule.why, ruled = []string{"host", "reconcile", "host/*"}, "the hand "+hand+" never sees a noun", true
		}
		if strings.HasPrefix(s.pkg, "store/") && !ruled {
			rule.may, rule.why, ruled = []string{".", "store/engine", "store/engine/*", "store/tree"}, "an engine stores bytes", true
		}
		if !ruled && s.pkg != "feed/feedpb" {
			t.Errorf("%s: package %s has no import rule; add one with its reason", s.path, s.pkg)
			continue
		}
		for _, i := range s.file.Imports {
			path := strings.Trim(i.Path.Value, `"`)
			if path == "neutrino" {
				path = "."
			} else if rest, ours := strings.CutPrefix(path, "neutrino/"); ours {
				path = rest
			} else {
				continue
			}
			if !slices.ContainsFunc(rule.may, func(m string) bool { ok, _ := filepath.Match(m, path); return ok }) {
				t.Errorf("%s imports %s: %s", s.path, path, rule.why)
			}
		}
	}
}

// A station without a sentence about itself cannot be found.
func TestPackagesAndExportedThingsAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		documented[s.pkg] = documented[s.pkg] || s.file.Doc.Text() != ""
		for _, d := range s.file.Decls {
			if name, pos := undocumented(d); name != "" {
				t.Errorf("%s:%d: exported %s has no doc comment", s.path, s.line(pos), name)
			}
		}
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no doc comment", pkg)
		}
	}
}

func undocumented(d ast.Decl) (string, token.Pos) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			return d.Name.Name, d.Pos()
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			ts, ok := spec.(*ast.TypeSpec)
			if ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil {
				return ts.Name.Name, ts.Pos()
			}
		}
	}
	return "", 0
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// The sizes at which a reader still holds the thing in the head.
const (
	maxFunction   = 60
	maxFile       = 500
	maxTestFile   = 800
	maxPackage    = 5000
	maxParameters = 4
)

func TestSizes(t *testing.T) {
	packages := map[string]int{}
	for _, s := range sources(t) {
		lines, limit := 0, maxFile
		for _, l := range strings.Split(s.text, "\n") {
			if strings.TrimSpace(l) != "" {
				lines++
			}
		}
		if s.test {
			limit = maxTestFile
		} else {
			packages[s.pkg] += lines
		}
		if lines > limit {
			t.Errorf("%s has %d lines, more than %d", s.path, lines, limit)
		}
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				checkFunction(t, s, f)
			}
		}
	}
	for pkg, n := range packages {
		if n > maxPackage {
			t.Errorf("package %s has %d lines, more than %d", pkg, n, maxPackage)
		}
	}
}

func checkFunction(t *testing.T, s source, f *ast.FuncDecl) {
	if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > maxFunction {
		t.Errorf("%s:%d: %s has %d lines, more than %d", s.path, s.line(f.Pos()), f.Name.Name, n, maxFunction)
	}
	params := 0
	for _, p := range f.Type.Params.List {
		params += max(1, len(p.Names))
		if id, ok := p.Type.(*ast.Ident); ok && id.Name == "bool" && f.Name.IsExported() {
			t.Errorf("%s:%d: %s takes a positional boolean", s.path, s.line(f.Pos()), f.Name.Name)
		}
	}
	if params > maxParameters {
		t.Errorf("%s:%d: %s has %d parameters, more than %d", s.path, s.line(f.Pos()), f.Name.Name, params, maxParameters)
	}
	if f.Name.Name == "init" && f.Recv == nil {
		t.Errorf("%s:%d: init hides who calls whom", s.path, s.line(f.Pos()))
	}
}

// Stations that work out results do no I/O: no context, no os, no net.
func TestPureStationsAreVisiblyPure(t *testing.T) {
	pure := []string{".", "view", "view/fuse", "plan", "plan/names", "plan/pipeline"}
	for _, s := range sources(t) {
		if s.test || !slices.Contains(pure, s.pkg) {
			continue
		}
		for _, i := range s.file.Imports {
			switch path := strings.Trim(i.Path.Value, `"`); path {
			case "context", "os", "net", "net/http", "os/exec", "syscall", "math/rand", "math/rand/v2", "log", "log/slog":
				t.Errorf("%s imports %s, but package %s is pure", s.path, path, s.pkg)
			}
		}
	}
}

// What has to be told of ports and floating IPs is found where they are stored.
// A feature that stored them by itself would be forgotten there.
func TestPortsAreStoredInOnePlace(t *testing.T) {
	direct := regexp.MustCompile(`store\.(Put|Delete)\([^,]+, store\.(Ports|FloatingIPs),`)
	for _, s := range sources(t) {
		if at := direct.FindString(s.text); at != "" && !s.test && s.pkg != "intent/work" {
			t.Errorf("%s: %s: use intent/work's PutPort and its like", s.path, at)
		}
	}
}

// Numbers and prefixes that one place spells.
func TestNothingIsSpelledTwice(t *testing.T) {
	homes := map[string]string{
		`"qdhcp-"`: "plan/names", `"-openvswitch-agent"`: "plan/names", `"fa:16:3e`: "intent",
		`"NIPv4"`: "host/iptables", `"Open vSwitch agent"`: ".", `"network:dhcp"`: ".",
	}
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.pkg, "lab") || strings.HasPrefix(s.pkg, "cmd") {
			continue
		}
		for literal, home := range homes {
			if s.pkg != home && strings.Contains(s.text, literal) {
				t.Errorf("%s spells %s; its home is package %s", s.path, literal, home)
			}
		}
	}
}
