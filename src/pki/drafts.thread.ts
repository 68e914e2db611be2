import { answerQuestions } from '../platform/work/thread.js';
import { draftAll } from './draft-orders.js';

answerQuestions(draftAll);
