//! Random histories: jobs that are requested, worked on, fail, are cancelled, begun again, put aside, erased and
//! deleted, in
//! whatever order the domain allows.

use chrono::TimeDelta;
use reelstream::clock::ManualClock;
use reelstream::consumers::rehearsal;
use reelstream::domain::job::{Command, Job, Status};
use reelstream::events::job::{Failure, JobRequested, WorkItem};
use reelstream::events::{Actor, Priority, Quality, VideoRequest};
use reelstream::execute::{Error, Executor, Origin};
use reelstream::ids::{CommandId, JobId};

use crate::log::model::Random;

pub struct Histories<'a> {
    pub executor: &'a Executor,
    pub random: Random,
    pub clock: Option<ManualClock>,
    pub jobs: Vec<JobId>,
}

impl Histories<'_> {
    /// So many commands, most of which lead to events.
    pub async fn go_on(&mut self, commands: usize) {
        for _ in 0..commands {
            self.one().await;
        }
    }

    async fn one(&mut self) {
        if let Some(clock) = &self.clock {
            clock.advance(TimeDelta::milliseconds(self.random.below(40_000) as i64));
        }
        if self.jobs.is_empty() || self.random.one_in(12) {
            let job = JobId::new();
            self.jobs.push(job);
            let request = self.request();
            return self.send(job, request).await;
        }
        let job_id = self.jobs[self.random.below(self.jobs.len() as u64) as usize];
        let job = self.executor.load(job_id).await.unwrap().into_state();
        let command = self.command(job_id, &job);
        self.send(job_id, command).await;
    }

    fn request(&mut self) -> Command {
        let user = self.random.below(4);
        let request = VideoRequest {
            priority: Priority::ALL[self.random.below(4) as usize],
            quality: Quality::ALL[self.random.below(4) as usize],
            title: self.random.one_in(2).then(|| format!("title of user {user}")),
            ..VideoRequest::of_script(format!("topic of user {user}"), format!("script of user {user}"))
        };
        Command::Request(JobRequested {
            user_id: format!("user_{user}"),
            request: request.into(),
            batch_id: None,
        })
    }

    fn command(&mut self, job_id: JobId, job: &Job) -> Command {
        if job.has_ended() {
            return match self.random.below(8) {
                0 => Command::EraseContent,
                1 => Command::Discard { reason: None },
                2 => Command::Delete,
                3 => Command::NoteFilesRemoved,
                _ => Command::Reprocess { from: None },
            };
        }
        let items: Vec<&WorkItem> = job.open_work.iter().collect();
        let item = *items[self.random.below(items.len() as u64) as usize];
        match self.random.below(20) {
            0 => Command::Cancel { reason: Some("secret reason".into()) },
            1 | 2 => Command::FailWork { item, error: self.failure(), most_attempts: 3, delay_ms: 1000 },
            3..=8 => Command::StartWork(item),
            9 | 10 => Command::ReportProgress { item, done: self.random.below(100), total: 100 },
            _ => {
                let outcome = rehearsal::outcome(
                    (item.stage, item.scene),
                    job_id,
                    job,
                    1 + self.random.below(3) as u32,
                );
                Command::FinishWork { item, outcome, scene_limit: 2 }
            }
        }
    }

    fn failure(&mut self) -> Failure {
        Failure {
            code: ["DISK_FULL", "RENDERING_FAILED"][self.random.below(2) as usize].into(),
            message: "a secret formula cannot be typeset".into(),
            retryable: !self.random.one_in(3),
            suggestion: None,
            causes: vec![],
        }
    }

    async fn send(&mut self, job_id: JobId, command: Command) {
        let origin = Origin {
            command_id: CommandId::new(),
            actor: Actor::User("user_1".into()),
            trace: None,
            causation_id: None,
        };
        match self.executor.execute(job_id, command, &origin, None).await {
            Ok(_) | Err(Error::Rejected(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// How many of the jobs have ended, for whoever wants to know that something happened.
pub async fn ended(executor: &Executor, jobs: &[JobId]) -> usize {
    let mut ended = 0;
    for job in jobs {
        let job = executor.load(*job).await.unwrap().into_state();
        ended += usize::from(matches!(job.status, Status::Completed | Status::Failed | Status::Cancelled));
    }
    ended
}
