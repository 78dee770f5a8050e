// Package config reads Neutron's configuration files, with their own option
// names, under the environment and the flags of a command. It is part of the
// faces: no station reads it, each is handed plain values.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/ini.v1"
)

// Option is one setting: its place in the files, its default and what it does.
type Option struct {
	Section string // "DEFAULT", "ovs", …
	Name    string // Neutron's name: "bind_host"
	Default string
	Help    string
	// Old is an earlier name of the option in the same section, "" for none.
	Old string
	// Check refuses a value, with the reason; nil accepts all.
	Check func(string) error
}

// Flag is the option's name on the command line: "--bind-host", "--ovs-local-ip".
func (o Option) Flag() string {
	name := o.Name
	if o.Section != "DEFAULT" {
		name = o.Section + "-" + name
	}
	return strings.ReplaceAll(name, "_", "-")
}

// Env is the environment variable that sets the option: "NEUTRINO_BIND_HOST".
func (o Option) Env() string {
	return "NEUTRINO_" + strings.ToUpper(strings.ReplaceAll(o.Flag(), "-", "_"))
}

func (o Option) place() string { return fmt.Sprintf("[%s] %s", o.Section, o.Name) }

// Fixed is an option of Neutron's files that is no setting here: what it decides on
// is decided, or does not exist. It is looked at where a file sets it.
type Fixed struct {
	Section, Name string
	// Check refuses a value that contradicts what is done, with the remedy; nil
	// refuses none.
	Check func(string) error
	// Warn says what a value does not do, "" for nothing to say; nil says nothing.
	Warn func(string) string
}

// Set is what one command understands.
type Set struct {
	Options []Option
	Fixed   []Fixed
	files   []string
	flags   map[string]*string
}

// Flags adds --config-file and a flag for each option to the command.
func (s *Set) Flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&s.files, "config-file", nil, "INI file with Neutron's options; may be repeated, a later file wins")
	s.flags = map[string]*string{}
	for _, o := range s.Options {
		s.flags[o.place()] = cmd.Flags().String(o.Flag(), o.Default, fmt.Sprintf("%s (%s, %s)", o.Help, o.place(), o.Env()))
	}
}

// Values are the settings in force.
type Values struct {
	values map[string]string
	given  map[string]bool     // those that are not defaults
	lines  map[string][]string // of an option that stands on several lines of the files
	files  []string
	// Warnings name options of the files that this command does not know or that
	// have no effect, and old names of options.
	Warnings []string
}

// Load reads the files, then the environment, then the flags that were given:
// a later one wins. It returns an error that names the option and the remedy.
func (s *Set) Load(cmd *cobra.Command) (*Values, error) {
	v := &Values{values: map[string]string{}, given: map[string]bool{}, lines: map[string][]string{}, files: s.files}
	file, err := ini.LoadSources(ini.LoadOptions{
		AllowShadows: true, AllowPythonMultilineValues: true, IgnoreInlineComment: true,
	}, []byte{}, asSources(s.files)...)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("config: %w; create it, or leave --config-file out", err)
		}
		return nil, fmt.Errorf("config: read %s: %w", strings.Join(s.files, ", "), err)
	}
	for _, o := range s.Options {
		v.values[o.place()] = s.value(cmd, file, o, v)
	}
	if err := v.expand(s.Options); err != nil {
		return nil, err
	}
	for _, o := range s.Options {
		if o.Check == nil {
			continue
		}
		if err := o.Check(v.values[o.place()]); err != nil {
			return nil, fmt.Errorf("config: %s = %q: %w", o.place(), v.values[o.place()], err)
		}
	}
	if err := s.checkFixed(file, v); err != nil {
		return nil, err
	}
	v.Warnings = append(v.Warnings, s.unknown(file)...)
	return v, nil
}

// checkFixed looks at the options of the files that are no settings.
func (s *Set) checkFixed(file *ini.File, v *Values) error {
	for _, f := range s.Fixed {
		section := file.Section(f.Section)
		if !section.HasKey(f.Name) {
			continue
		}
		value := last(section.Key(f.Name))
		if f.Check != nil {
			if err := f.Check(value); err != nil {
				return fmt.Errorf("config: [%s] %s = %q: %w", f.Section, f.Name, value, err)
			}
		}
		if f.Warn != nil {
			if why := f.Warn(value); why != "" {
				// Without the value, which may hold a password.
				v.Warnings = append(v.Warnings, fmt.Sprintf("[%s] %s: %s", f.Section, f.Name, why))
			}
		}
	}
	return nil
}

func asSources(files []string) []any {
	out := make([]any, len(files))
	for i, f := range files {
		out[i] = f
	}
	return out
}

// value finds an option: flag, environment, file under its name or its old
// name, default.
func (s *Set) value(cmd *cobra.Command, file *ini.File, o Option, v *Values) string {
	v.given[o.place()] = true
	if cmd.Flags().Changed(o.Flag()) {
		return *s.flags[o.place()]
	}
	if env, ok := os.LookupEnv(o.Env()); ok {
		return env
	}
	section := file.Section(o.Section)
	if section.HasKey(o.Name) {
		v.lines[o.place()] = section.Key(o.Name).ValueWithShadows()
		return last(section.Key(o.Name))
	}
	if o.Old != "" && section.HasKey(o.Old) {
		v.Warnings = append(v.Warnings, fmt.Sprintf("[%s] %s is called %s now", o.Section, o.Old, o.Name))
		return last(section.Key(o.Old))
	}
	v.given[o.place()] = false
	return o.Default
}

// last is the value of the last of several lines with one name.
func last(k *ini.Key) string {
	all := k.ValueWithShadows()
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

var reference = regexp.MustCompile(`\$\{?([a-z_][a-z0-9_]*)\}?`)

// expand replaces $name by the option of that name in [DEFAULT], as
// oslo.config does: state_path = $my_dir/x.
func (v *Values) expand(options []Option) error {
	for _, o := range options {
		value := v.values[o.place()]
		for depth := 0; strings.Contains(value, "$"); depth++ {
			missing := ""
			next := reference.ReplaceAllStringFunc(value, func(m string) string {
				name := reference.FindStringSubmatch(m)[1]
				if r, ok := v.values["[DEFAULT] "+name]; ok {
					return r
				}
				missing = name
				return m
			})
			if missing != "" || depth > 5 {
				return fmt.Errorf("config: %s = %q refers to $%s, which is no option of [DEFAULT]", o.place(), value, missing)
			}
			value = next
		}
		v.values[o.place()] = value
	}
	return nil
}

// unknown names what stands in the files and means nothing to this command.
// It is no error: one neutron.conf serves many programs.
func (s *Set) unknown(file *ini.File) []string {
	known := map[string]bool{}
	for _, o := range s.Options {
		known["["+o.Section+"] "+o.Name] = true
		known["["+o.Section+"] "+o.Old] = true
	}
	for _, f := range s.Fixed {
		known["["+f.Section+"] "+f.Name] = true
	}
	var out []string
	for _, section := range file.Sections() {
		for _, key := range section.KeyStrings() {
			if place := fmt.Sprintf("[%s] %s", section.Name(), key); !known[place] {
				out = append(out, place+" is not used here")
			}
		}
	}
	slices.Sort(out)
	return out
}

// String is the value of an option of the set.
func (v *Values) String(section, name string) string { return v.values["["+section+"] "+name] }

// Given reports whether an option of the set has a value that is not its default for
// want of any.
func (v *Values) Given(section, name string) bool { return v.given["["+section+"] "+name] }

// Beside finds a file in the directories of the configuration files, the last one's
// first; an absolute path is itself. It is false where there is none.
func (v *Values) Beside(name string) (path string, found bool) {
	if filepath.IsAbs(name) {
		return name, true
	}
	for _, file := range slices.Backward(v.files) {
		path = filepath.Join(filepath.Dir(file), name)
		if _, err := os.Stat(path); err == nil {
			return path, true
		}
	}
	return "", false
}

// Words are a value's parts between commas, without spaces; empty for "".
func Words(value string) []string {
	var out []string
	for s := range strings.SplitSeq(value, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// List is a comma separated value without its spaces; empty for "".
func (v *Values) List(section, name string) []string {
	return Words(v.String(section, name))
}

// All are the values of an option that may stand on several lines; none for "".
func (v *Values) All(section, name string) []string {
	if lines := v.lines["["+section+"] "+name]; len(lines) > 1 {
		return lines
	}
	if one := v.String(section, name); one != "" {
		return []string{one}
	}
	return nil
}

// Int is a whole number; the option's Check must be [Number].
func (v *Values) Int(section, name string) int {
	n, _ := strconv.Atoi(v.String(section, name)) // checked by Load
	return n
}

// Bool is a truth value; the option's Check must be [Boolean].
func (v *Values) Bool(section, name string) bool {
	b, _ := Truth(v.String(section, name)) // checked by Load
	return b
}

// Truth reads what oslo.config reads as a truth value.
func Truth(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, errors.New("write true or false")
}

// Number accepts a whole number.
func Number(s string) error {
	if _, err := strconv.Atoi(s); err != nil {
		return errors.New("write a whole number")
	}
	return nil
}

// Boolean accepts what oslo.config accepts as a truth value.
func Boolean(s string) error {
	_, err := Truth(s)
	return err
}

// OneOf accepts the given words.
func OneOf(words ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return fmt.Errorf("write one of %s", strings.Join(words, ", "))
	}
}
