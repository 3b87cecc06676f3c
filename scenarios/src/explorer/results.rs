//! The folder that a sweep leaves: `results.jsonl` with a record a line, `junit.xml`, and the shortest capsule of each kind of
//! failure in `capsules`. Folders of several shards merge into one.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{junit, program::Program, record::Record};
use crate::{capsule::Capsule, catalogue, fingerprint::Fingerprint};

const RECORDS: &str = "results.jsonl";
const JUNIT: &str = "junit.xml";
const CAPSULES: &str = "capsules";

/// Failures of one kind.
#[derive(Clone, Debug)]
pub struct Group {
    /// How many runs failed so.
    pub runs: u64,
    /// The shortest of them, by its events.
    pub shortest: Record,
    /// Its capsule.
    pub capsule: PathBuf,
}

/// A folder of results that is being written.
pub struct Results {
    folder: PathBuf,
    records: BufWriter<File>,
    program: Program,
    /// By kind of the first failure of each run.
    groups: BTreeMap<Fingerprint, Group>,
}

impl Results {
    /// Begins anew in `folder`: what an earlier sweep left there is replaced.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(folder: &Path, program: Program) -> io::Result<Self> {
        let capsules = folder.join(CAPSULES);
        fs::create_dir_all(&capsules)?;
        for entry in fs::read_dir(&capsules)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                fs::remove_file(path)?;
            }
        }
        let records = BufWriter::new(File::create(folder.join(RECORDS))?);
        let folder = folder.to_owned();
        Ok(Self { folder, records, program, groups: BTreeMap::new() })
    }

    /// Adds a record, and keeps its capsule if it is the shortest of its kind. Whether the kind is new.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn add(&mut self, record: &Record) -> io::Result<bool> {
        serde_json::to_writer(&mut self.records, record)?;
        self.records.write_all(b"\n")?;
        let Some(fingerprint) = record.fingerprints.first() else { return Ok(false) };
        // Somebody may look while the sweep goes on.
        self.records.flush()?;
        let scenario = catalogue::find(&record.scenario).expect("a record is of a scenario");
        let (seed, hash, program) = (record.seed, record.trace_hash.clone(), self.program.clone());
        self.group(record, fingerprint, || {
            let (kind, what) = (fingerprint.clone(), &record.violations[0]);
            Some(Capsule::of_seed(scenario, seed, kind, what, hash, &program))
        })
    }

    /// Adds a record to its group; whether that is new. If it is the shortest, `capsule` gives its capsule, unless a shorter one
    /// will come.
    fn group(
        &mut self,
        record: &Record,
        fingerprint: &Fingerprint,
        capsule: impl FnOnce() -> Option<Capsule>,
    ) -> io::Result<bool> {
        let known = self.groups.get_mut(fingerprint);
        let is_new = known.is_none();
        let is_shortest = match known {
            None => true,
            Some(group) => {
                group.runs += 1;
                record.events < group.shortest.events
            }
        };
        if is_shortest {
            let path = capsule_path(&self.folder, fingerprint);
            if let Some(capsule) = capsule() {
                capsule.save(&path)?;
            }
            let runs = self.groups.get(fingerprint).map_or(1, |group| group.runs);
            let group = Group { runs, shortest: record.clone(), capsule: path };
            self.groups.insert(fingerprint.clone(), group);
        }
        Ok(is_new)
    }

    /// Writes what is left to be written.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(mut self) -> io::Result<BTreeMap<Fingerprint, Group>> {
        self.records.flush()?;
        let records = read(&self.folder)?;
        fs::write(self.folder.join(JUNIT), junit::report(&records)?)?;
        Ok(self.groups)
    }
}

/// The records in `folder`.
///
/// # Errors
/// Those of the file system, and lines that are no records.
pub fn read(folder: &Path) -> io::Result<Vec<Record>> {
    let path = folder.join(RECORDS);
    let in_file = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
    };
    let lines = BufReader::new(File::open(&path).map_err(in_file)?).lines();
    let mut records = Vec::new();
    for line in lines {
        let record = serde_json::from_str(&line.map_err(in_file)?);
        records.push(record.map_err(|error| in_file(io::Error::from(error)))?);
    }
    Ok(records)
}

/// Where `folder` has the shortest capsule of a kind of failure.
pub fn capsule_path(folder: &Path, fingerprint: &Fingerprint) -> PathBuf {
    folder.join(CAPSULES).join(format!("{}.json", fingerprint.file_stem()))
}

/// Makes one folder of several; all records are kept, and of each kind of failure the shortest capsule, as it was written by the
/// program that found it.
///
/// # Errors
/// Those of the file system, and what is no folder of results.
pub fn merge(
    folders: &[PathBuf],
    into: &Path,
    program: Program,
) -> io::Result<(u64, BTreeMap<Fingerprint, Group>)> {
    // All are read before anything is written: one of them may be `into`.
    let parts = folders.iter().map(|folder| Part::read(folder)).collect::<io::Result<Vec<_>>>()?;
    let mut results = Results::create(into, program)?;
    let mut count = 0;
    for Part { records, mut capsules } in parts {
        for record in &records {
            count += 1;
            serde_json::to_writer(&mut results.records, record)?;
            results.records.write_all(b"\n")?;
            let Some(fingerprint) = record.fingerprints.first() else { continue };
            // A folder has the capsule of its shortest run only.
            let is_its = |capsule: &mut Capsule| {
                capsule.scenario == record.scenario && capsule.seed == record.seed
            };
            let capsule = || capsules.get_mut(fingerprint)?.take_if(is_its);
            results.group(record, fingerprint, capsule)?;
        }
    }
    Ok((count, results.finish()?))
}

/// What one folder has.
struct Part {
    records: Vec<Record>,
    /// By kind of failure.
    capsules: BTreeMap<Fingerprint, Option<Capsule>>,
}

impl Part {
    fn read(folder: &Path) -> io::Result<Self> {
        let records = read(folder)?;
        let mut capsules = BTreeMap::new();
        for fingerprint in records.iter().filter_map(|record| record.fingerprints.first()) {
            if !capsules.contains_key(fingerprint) {
                let path = capsule_path(folder, fingerprint);
                // A sweep that was killed may have told of a run and not of its capsule.
                let capsule = path.exists().then(|| Capsule::load(&path)).transpose();
                let capsule = capsule.map_err(|error| io::Error::other(error.to_string()))?;
                capsules.insert(fingerprint.clone(), capsule);
            }
        }
        Ok(Self { records, capsules })
    }
}
