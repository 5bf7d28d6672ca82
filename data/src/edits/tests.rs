use super::*;

const TOML: &str = r#"# corrected in April
[[edit]]
action = "split"
cell = [31.5, 12.0, 6.2]
seeds_um = [[29, 12, 6], [34.0, 12.0, 6.0]]

[[edit]]
action = "merge"
cells = [12, [3, 4, 5]]
note = "one cell, surely"

[[edit]]
action = "delete"
cells = [9]

[[edit]]
action = "relabel"
cell = 7
label = 100

[[edit]]
action = "redraw"
cells = [20, 21]
seeds_um = [[50.0, 8.0, 6.0]]
"#;

const CSV: &str = "action,cells,seeds_um,label,note\r
split,31.5 12 6.2,29 12 6; 34 12 6,,\r
merge,\"12; 3,4,5\",,,\"one cell, surely\"

delete,9,,,
relabel,7,,100,
redraw,20; 21,50 8 6,,
";

fn edits() -> Vec<Edit> {
    let point = |x, y, z| Point3::new(x, y, z);
    vec![
        Edit::Split {
            cell: CellName::Inside(point(31.5, 12.0, 6.2)),
            seeds_um: vec![point(29.0, 12.0, 6.0), point(34.0, 12.0, 6.0)],
        },
        Edit::Merge { cells: vec![CellName::Label(12), CellName::Inside(point(3.0, 4.0, 5.0))] },
        Edit::Delete { cells: vec![CellName::Label(9)] },
        Edit::Relabel { cell: CellName::Label(7), label: 100 },
        Edit::Redraw {
            cells: vec![CellName::Label(20), CellName::Label(21)],
            seeds_um: vec![point(50.0, 8.0, 6.0)],
        },
    ]
}

fn log(name: &str, text: &str) -> EditLog {
    EditLog::from_text(text, name).unwrap_or_else(|error| panic!("{error}"))
}

fn message(name: &str, text: &str) -> String {
    EditLog::from_text(text, name).unwrap_err().to_string()
}

#[test]
fn toml_and_csv_say_the_same() {
    assert_eq!(log("edits.toml", TOML).edits, edits());
    assert_eq!(log("edits.csv", CSV).edits, edits());
    assert_eq!(log("edits.toml", "").edits, []);
    assert_eq!(log("edits.csv", "").edits, []);
}

#[test]
fn what_is_appended_reads_back_and_undo_gives_the_former_text() {
    for (name, start) in [
        ("e.toml", ""),
        ("e.csv", ""),
        ("e.toml", TOML),
        ("e.csv", CSV),
        ("e.toml", "# of fish 3\n"),
    ] {
        let mut logs = vec![log(name, start)];
        for edit in edits() {
            let next = logs.last().unwrap().with(&edit).unwrap();
            assert_eq!(next.edits.last(), Some(&edit));
            logs.push(next);
        }
        while logs.len() > 2 {
            let last = logs.pop().unwrap();
            let (undone, edit) = last.without_last().unwrap();
            assert_eq!(Some(&edit), last.edits.last());
            assert_eq!(&undone, logs.last().unwrap());
        }
        let (undone, _) = logs[1].without_last().unwrap();
        assert_eq!(undone.edits, logs[0].edits);
        if !(name == "e.csv" && start.is_empty()) {
            assert_eq!(undone.text(), start, "{name}");
        }
    }
}

#[test]
fn the_columns_of_a_table_stay_in_their_order() {
    let table = log("e.csv", "label,cells,action\n3,1,relabel\n");
    let next = table.with(&edits()[3]).unwrap();
    assert_eq!(next.text(), "label,cells,action\n3,1,relabel\n100,7,relabel\n");
    let message = table.with(&edits()[0]).unwrap_err().to_string();
    assert!(message.contains("e.csv:1:1: the header: `seeds_um` is missing"), "{message}");
}

#[test]
fn only_edits_with_a_table_of_their_own_are_undone() {
    let inline = log("e.toml", "edit = [{ action = \"delete\", cells = [1] }]\n");
    let message = inline.without_last().unwrap_err().to_string();
    assert!(message.contains("edit 1") && message.contains("by hand"), "{message}");
    let message = log("e.toml", "# nothing\n").without_last().unwrap_err().to_string();
    assert_eq!(message, "e.toml has no edit to undo");
}

#[test]
fn an_edit_is_shown_as_it_is_typed() {
    let shown: Vec<String> = edits().iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "split 31.5,12,6.2 --at 29,12,6 --at 34,12,6",
            "merge 12 3,4,5",
            "delete 9",
            "relabel 7 100",
            "redraw 20 21 --at 50,8,6"
        ]
    );
    assert_eq!("31.5,12,6.2".parse(), Ok(CellName::Inside(Point3::new(31.5, 12.0, 6.2))));
    for wrong in ["0", "-3", "1,2", "1,2,x", "1,2,inf", "", "4294967296"] {
        assert!(wrong.parse::<CellName>().unwrap_err().contains("wanted"), "{wrong}");
    }
}

#[test]
fn every_mistake_names_the_line_the_edit_and_the_key() {
    for (text, says) in [
        ("[[edit]]\naction = \"cut\"\n", "e.toml:2:10: edit 1.action: \"split\""),
        ("[[edit]]\ncells = [1]\n", "edit 1: `action` is missing"),
        ("[[edit]]\naction = 3\n", "edit 1.action: text in quotes wanted"),
        (
            "[[edit]]\naction = \"split\"\ncell = 1\nseeds = [[1, 2, 3]]\n",
            "edit 1.seeds: unknown key",
        ),
        ("[[edit]]\naction = \"merge\"\ncell = 1\n", "did you mean `cells`"),
        ("[[edit]]\naction = \"delete\"\ncells = 1\n", "edit 1.cells: a list of cells"),
        ("[[edit]]\naction = \"delete\"\ncells = [0]\n", "a label from 1"),
        ("[[edit]]\naction = \"delete\"\ncells = [1.5]\n", "a whole number wanted"),
        ("[[edit]]\naction = \"delete\"\ncells = [\"1\"]\n", "a cell's number from 1"),
        (
            "[[edit]]\naction = \"delete\"\ncells = [[1, 2]]\n",
            "a point x, y, z in µm (such as 31.5,12,6.2) wanted, got \"2 numbers\"",
        ),
        ("[[edit]]\naction = \"delete\"\ncells = [[1, 2, nan]]\n", "a number wanted"),
        (
            "[[edits]]\naction = \"delete\"\n",
            "e.toml:1:3: edits: unknown key; did you mean `edit`?",
        ),
        ("[[edit]\n", "not TOML"),
    ] {
        let message = message("e.toml", text);
        assert!(message.contains(says), "{message}");
    }
    for (text, says) in [
        ("action,cell\ndelete,1\n", "the header: unknown key; there are: action, cells"),
        ("action,action\n", "\"action\" is here twice"),
        ("action,cells\ndelete,1,2\n", "e.csv:2:1: edit 1: 3 fields where the header has 2"),
        ("action,cells\ndelete,\"1\n", "edit 1: the quotes"),
        ("action,cells\ndelete,one\n", "edit 1.cells: cells between semicolons"),
        ("action,cells\ndelete,1\ncut,1\n", "e.csv:3:1: edit 2.action"),
        ("action,cells\ndelete,\n", "`cells` is missing"),
        (
            "action,cells,label\ndelete,1,2\n",
            "edit 1.label: nothing for this action wanted, got \"2\"",
        ),
        ("action,cells,seeds_um\nsplit,1;2,1 2 3\n", "edit 1.cells: one cell wanted"),
        ("action,cells,seeds_um\nsplit,1,1 2\n", "edit 1.seeds_um: points"),
        ("action,cells,label\nrelabel,1,x\n", "a label from 1 to 4294967295 wanted, got \"x\""),
    ] {
        let message = message("e.csv", text);
        assert!(message.contains(says), "{message}");
    }
    let message = message("edits.txt", "");
    assert!(message.contains("edits.txt") && message.contains(".toml nor .csv"), "{message}");
}
