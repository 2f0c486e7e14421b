package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

var moduleLine = regexp.MustCompile(`(?m)^module\s+(\S+)`)

// check returns one line per broken arrow, in the order of the files.
func check(module fs.FS) (broken []string, err error) {
	if err := wantModule(module); err != nil {
		return nil, err
	}
	err = fs.WalkDir(module, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && outside(module, name):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		lines, err := checkFile(module, name)
		broken = append(broken, lines...)
		return err
	})
	return broken, err
}

// wantModule keeps a run in the wrong folder from passing because it saw nothing.
func wantModule(fsys fs.FS) error {
	b, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return fmt.Errorf("run it in the root of %s: %w", module, err)
	}
	if m := moduleLine.FindSubmatch(b); m == nil || string(m[1]) != module {
		return fmt.Errorf("run it in the root of %s: go.mod here is another module's", module)
	}
	return nil
}

// outside says whether the go command leaves a folder out of the module.
func outside(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	if base == "testdata" || base == "vendor" || base == "node_modules" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func checkFile(fsys fs.FS, name string) (broken []string, err error) {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, src, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	pkg := path.Dir(name)
	from, ok := layerOf(pkg)
	if !ok {
		return []string{fmt.Sprintf("%s: %s has no row in the table: add one that says what it may import", name, pkg)}, nil
	}
	test := strings.HasSuffix(name, "_test.go")
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if why := breaks(from, imported, test); why != "" {
			at := files.Position(spec.Pos())
			broken = append(broken, fmt.Sprintf("%s:%d: %s imports %s: %s", name, at.Line, pkg, imported, why))
		}
	}
	return broken, nil
}

// breaks says which arrow an import breaks and what to do; "" is none.
func breaks(from layer, imported string, test bool) string {
	if within(imported, module) {
		return breaksOurs(from, strings.TrimPrefix(strings.TrimPrefix(imported, module), "/"))
	}
	for _, o := range owners {
		if within(imported, o.library) && from.tree != o.layer {
			return ownerSays(o)
		}
	}
	if test {
		return ""
	}
	for _, p := range pure {
		if from.tree == p.layer && withinAny(imported, p.never) {
			return fmt.Sprintf("%s must never import %s; %s", p.layer, p.never, p.instead)
		}
	}
	if from.libraries != anyLibrary && !standard(imported) && !withinAny(imported, from.libraries) {
		return fmt.Sprintf("%s -> the standard library, %s; do without, or argue for it in docs/decisions and add it to the table",
			from.tree, strings.ReplaceAll(from.libraries, " ", ", "))
	}
	return ""
}

func breaksOurs(from layer, imported string) string {
	own := from.tree != "." && within(imported, from.tree)
	switch {
	case own:
		return ""
	case within(imported, "cmd"):
		return "nothing imports cmd; move what you need into a library package"
	case !withinAny(imported, from.ours) && from.ours == "":
		return fmt.Sprintf("%s -> nothing of ours; pass it in as a parameter, or move it down into %s", from.tree, from.tree)
	case !withinAny(imported, from.ours):
		return fmt.Sprintf("%s -> %s; use what these export, or move the code to a layer that may",
			from.tree, strings.ReplaceAll(from.ours, " ", ", "))
	case strings.Contains("/"+imported+"/", "/internal/"):
		parent := strings.Trim(strings.SplitN("/"+imported, "/internal", 2)[0], "/")
		return fmt.Sprintf("%s/internal is for %s alone; export what you need from %s", parent, parent, parent)
	}
	return ""
}

func ownerSays(o owner) string {
	if o.layer == "" {
		return "no package of this module may, so that embedders never see it; " + o.instead
	}
	return fmt.Sprintf("only %s may; %s", o.layer, o.instead)
}

func layerOf(pkg string) (found layer, ok bool) {
	for _, l := range layers {
		if (pkg == l.tree || l.tree != "." && within(pkg, l.tree)) && len(l.tree) >= len(found.tree) {
			found, ok = l, true
		}
	}
	return found, ok
}

// within says whether an import path is tree or below it.
func within(p, tree string) bool { return p == tree || strings.HasPrefix(p, tree+"/") }

func withinAny(p, trees string) bool {
	for tree := range strings.FieldsSeq(trees) {
		if within(p, tree) {
			return true
		}
	}
	return false
}

// standard says whether an import path is the standard library's: its first element has no dot.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".")
}
