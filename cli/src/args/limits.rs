//! What build steps may use up, with Docker's names.

use clap::Args;

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Limits of build steps")]
pub struct LimitOptions {
    /// Limit what each process of RUN may use: TYPE=SOFT[:HARD], for example nofile=1024:2048 (repeatable)
    #[arg(long = "ulimit", value_name = "LIMIT")]
    pub ulimits: Vec<String>,
    /// Size of /dev/shm in RUN, for example 128m [default: 64m]
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// End a RUN that takes longer, for example 90s, 30m or 2h
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Memory of a RUN, for example 2g
    #[arg(long, short, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Memory and swap of a RUN together; -1 for no limit [default: twice --memory]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Processors of a RUN, for example 1.5
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<String>,
    /// Processor time of a RUN in each period, in microseconds
    #[arg(long, value_name = "TIME")]
    pub cpu_quota: Option<String>,
    /// The period of --cpu-quota, in microseconds [default: 100000]
    #[arg(long, value_name = "TIME")]
    pub cpu_period: Option<String>,
    /// Weight of a RUN where processors are short; others have 1024
    #[arg(long, short, value_name = "NUMBER")]
    pub cpu_shares: Option<String>,
    /// Which processors a RUN may use, for example 0-3,7
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Which memory nodes a RUN may use
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// One of the limits above as NAME=VALUE, for example memory=2g (repeatable)
    #[arg(long = "resource", value_name = "NAME=VALUE", value_delimiter = ',')]
    pub resources: Vec<String>,
    /// Below which control group those of steps are made
    #[arg(long, value_name = "GROUP")]
    pub cgroup_parent: Option<String>,
}
