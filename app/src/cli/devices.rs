//! `spatial-ladder devices`: what models can run on here.

use spatial_ladder::answering::{DeviceCheck, check_device};
use spatial_ladder::model::DeviceChoice;
use spatial_ladder::model::device::{self, DeviceInfo};
use spatial_ladder::model::qwen2_5_vl::weights::matrix_dtype;
use std::io::Write as _;

#[derive(Debug, clap::Args)]
pub struct DevicesArgs {
    /// Compare each with the CPU on a small model: pictures, logits, cached answers, gradients, 16-bit weights
    #[arg(long)]
    pub check: bool,
    /// Only this device, by its name
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Print a JSON list instead
    #[arg(long)]
    pub json: bool,
}

#[derive(serde::Serialize)]
struct Row {
    #[serde(flatten)]
    info: DeviceInfo,
    /// How matrices stored in 16 bits are kept there.
    matrices: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<DeviceCheck>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
}

pub fn run(args: &DevicesArgs) -> anyhow::Result<()> {
    let named = args.device.as_ref().map(|name| name.parse::<DeviceChoice>()).transpose()?;
    let wanted = |info: &DeviceInfo| named.as_ref().is_none_or(|choice| choice.to_string() == info.name);
    let found = match &named {
        // What other machines lend is in no list.
        Some(choice @ DeviceChoice::Remote { .. }) => vec![DeviceInfo {
            name: choice.to_string(),
            description: device::describe(&choice.open()?),
            default: false,
        }],
        _ => device::list(),
    };
    let rows = found
        .into_iter()
        .filter(wanted)
        .map(|info| row(info, args.check))
        .collect::<anyhow::Result<Vec<_>>>()?;
    if let (Some(name), true) = (&args.device, rows.is_empty()) {
        anyhow::bail!("there is no device {name} here; `devices` lists what there is");
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &rows)?;
        writeln!(out)?;
    } else {
        for Row { info, matrices, check, faults } in &rows {
            let mark = if info.default { "  (what `auto` picks)" } else { "" };
            writeln!(out, "{:<10} {}, 16-bit weights as {matrices}{mark}", info.name, info.description)?;
            if let Some(check) = check {
                writeln!(
                    out,
                    "{:<10} off by: vision {:.1e}, logits {:.1e}, cached {:.1e}, gradients {:.1e}, with 16-bit weights {:.1e}",
                    "", check.vision, check.logits, check.cached, check.gradients, check.half_logits
                )?;
                if let Some(mixed) = check.mixed_gradients {
                    writeln!(out, "{:<10} gradients in mixed precision off by {mixed:.1e}", "")?;
                }
            }
            for fault in faults {
                writeln!(out, "{:<10} WRONG: {fault}", "")?;
            }
        }
    }
    let wrong: Vec<&str> =
        rows.iter().filter(|row| !row.faults.is_empty()).map(|row| row.info.name.as_str()).collect();
    anyhow::ensure!(
        wrong.is_empty(),
        "{} computes wrongly; use another device, or a newer driver",
        wrong.join(", ")
    );
    Ok(())
}

fn row(info: DeviceInfo, checked: bool) -> anyhow::Result<Row> {
    let device = info.name.parse::<DeviceChoice>()?.open()?;
    let matrices = format!("{:?}", matrix_dtype(&device)).to_lowercase();
    let check = checked
        .then(|| check_device(&device, &|part| eprintln!("{}: comparing {part} …", info.name)))
        .transpose()?;
    let faults = check.map(|check| check.faults()).unwrap_or_default();
    Ok(Row { info, matrices, check, faults })
}
