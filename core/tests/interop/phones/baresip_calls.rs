//! baresip calls, and hears what ffmpeg publishes.

#![allow(clippy::disallowed_methods)]

use std::process::Command;

use super::{Folder, Tone, free_port, is_missing, samples, samples_of, wav};
use crate::{ffmpeg, gateway::Gateway, process::Process};

/// A quarter of a second of samples that was heard, and is looked for in what was said.
const PART_SAMPLES: usize = 2_000;

#[test]
fn baresip_hears_sample_for_sample_what_ffmpeg_publishes() {
    if ffmpeg::is_missing() || is_missing("baresip") {
        return;
    }
    // The phone says an address of this machine's network, and its packets must come from there.
    let gateway = Gateway::start_with("sip.listen = \"0.0.0.0:0\"");
    let folder = Folder::new("baresip");
    let path = folder.0.to_str().expect("a path of text").to_owned();
    let tone = Tone::new(&folder, 30);
    let publishing = tone.publish(&gateway, "live/tone");
    folder.write("silence.wav", wav(&vec![0; 8_000 * 20]));
    folder.write(
        "config",
        format!(
            "sip_listen 0.0.0.0:{}\naudio_player aubridge,phone\naudio_source aufile,{path}/silence.wav\n\
             ausrc_srate 8000\nauplay_srate 8000\nmodule_path /usr/lib/baresip/modules\nsnd_path {path}\n\
             module g711.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\n\
             module_tmp account.so\nmodule_app menu.so\n",
            free_port()
        ),
    );
    folder.write("accounts", "<sip:phone@127.0.0.1>;regint=0;audio_codecs=PCMU/8000/1\n");
    let dial = format!("/dial sip:play-tone@127.0.0.1:{}", gateway.sip.port());
    let mut calling = Command::new("baresip");
    calling.args(["-f", &path, "-t", "5", "-e", &dial]);
    Process::start("baresip", &mut calling).wait_success();
    drop(publishing);
    let heard = samples_of(&folder);
    let said = samples(&tone.content("s16le"));
    // A phone on a busy machine may be late for a packet; nearly all else it hears as it was said.
    let parts: Vec<_> = heard.chunks_exact(PART_SAMPLES).collect();
    // Decoders do not agree on what silence is: 0 to one is 2 to another.
    let is_alike = |(a, b): (&i16, &i16)| a.abs_diff(*b) <= 2;
    let is_there = |part: &&&[i16]| {
        said.windows(PART_SAMPLES).any(|own| own.iter().zip(part.iter()).all(is_alike))
    };
    let found = parts.iter().filter(is_there).count();
    assert!(parts.len() >= 12, "only {} samples were heard", heard.len());
    assert!(found * 4 >= parts.len() * 3, "{found} of {} parts were said", parts.len());
}
